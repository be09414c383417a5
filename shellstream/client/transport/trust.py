"""The certificates to trust, and the certificate of this client."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from shellstream.client.errors import ConfigError

from .fingerprint import parse_fingerprint

if TYPE_CHECKING:
    from twisted.web.iweb import IPolicyForHTTPS


class Trust(NamedTuple):
    """
    Names of PEM files, or a pin. The certificate of a server always has to be for its
    host, unless it is pinned.

    @ivar cacert: the only authorities to trust; by default those of the system.
    @ivar cert: this client's certificate, with its chain behind it.
    @ivar key: the key of C{cert}, if it is in another file.
    @ivar pin: the SHA-256 fingerprint of the only certificate to trust; its host, its
        authority and its dates do not count.
    """

    cacert: str | None = None
    cert: str | None = None
    key: str | None = None
    pin: str | None = None

    def policy(self) -> "IPolicyForHTTPS":
        """
        The policy for an agent of Twisted's.

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


#: The error message for both: authorities have no say about a pinned certificate.
PIN_AND_CACERT = (
    "pin and cacert exclude each other: a pin names the only certificate to trust"
)


def _read(path: str | None) -> bytes | None:
    return None if path is None else Path(path).read_bytes()
