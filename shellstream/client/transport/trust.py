"""Which files, or which fingerprint, say whom to trust, and who we are."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from shellstream.client.errors import ConfigError

from .fingerprint import parse_fingerprint

if TYPE_CHECKING:
    from twisted.web.iweb import IPolicyForHTTPS


class Trust(NamedTuple):
    """
    Files in PEM, by their names, or a pin. Names of hosts are always checked, but with
    a pin, which says more; there is no way to leave that out.

    @ivar cacert: authorities to trust, and no others; those of the system if not
        given.
    @ivar cert: the certificate to show, and those of its authorities behind it.
    @ivar key: the key of C{cert}, if it is not in the same file.
    @ivar pin: the SHA-256 fingerprint of the one certificate to trust, whatever host it
        names, whoever has signed it and until when.
    """

    cacert: str | None = None
    cert: str | None = None
    key: str | None = None
    pin: str | None = None

    def policy(self) -> "IPolicyForHTTPS":
        """
        For an agent of Twisted's.

        @raise ConfigWrong: if a file does not hold what it should, or the pin.
        """
        from .trust_policy import make_policy

        pin = self._pin()
        try:
            cacert, cert, key = map(_read, self._files())
            return make_policy(cacert, cert, key, pin)
        except (OSError, ValueError) as error:
            raise self._wrong(error) from None

    def _files(self) -> tuple[str | None, str | None, str | None]:
        return self.cacert, self.cert, self.key

    def _pin(self) -> bytes | None:
        if self.pin is None:
            return None
        if self.cacert is not None:
            raise ConfigError(PIN_AND_CACERT)
        try:
            return parse_fingerprint(self.pin)
        except ValueError as error:
            raise ConfigError(str(error)) from None

    def _wrong(self, error: Exception) -> ConfigError:
        why = getattr(error, "strerror", None) or str(error)
        files = ", ".join(filter(None, self._files()))
        named = getattr(error, "filename", None) or files
        return ConfigError(f"{named}: {why}")


#: What is said of a pin beside authorities: which of them is meant nobody can know.
PIN_AND_CACERT = (
    "pin and cacert exclude each other: a pin says which certificate it has to be"
)


def _read(path: str | None) -> bytes | None:
    return None if path is None else Path(path).read_bytes()
