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

        @raise ConfigError: if a file does not hold what it should, or the pin.
        """
        # Late, since it loads OpenSSL, which plain HTTP does without.
        from .trust_policy import make_policy

        if self.pin is not None and self.cacert is not None:
            raise ConfigError(PIN_AND_CACERT)
        try:
            pin = None if self.pin is None else parse_fingerprint(self.pin)
        except ValueError as error:
            raise ConfigError(str(error)) from None
        files = self.cacert, self.cert, self.key
        try:
            cacert, cert, key = map(_read, files)
            return make_policy(cacert, cert, key, pin)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            named = getattr(error, "filename", None) or ", ".join(filter(None, files))
            raise ConfigError(f"{named}: {why}") from None


#: The error message for both: authorities have no say about a pinned certificate.
PIN_AND_CACERT = (
    "pin and cacert exclude each other: a pin names the only certificate to trust"
)


def _read(path: str | None) -> bytes | None:
    return None if path is None else Path(path).read_bytes()
