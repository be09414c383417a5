"""Which files say whom to trust, and who we are."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .errors import ConfigWrong

if TYPE_CHECKING:
    from ssl import SSLContext

    from twisted.web.iweb import IPolicyForHTTPS


class Trust(NamedTuple):
    """
    Files in PEM, by their names. Names of hosts are always checked; there is no way
    to leave that out.

    @ivar cacert: authorities to trust, and no others; those of the system if not
        given.
    @ivar cert: the certificate to show, and those of its authorities behind it.
    @ivar key: the key of C{cert}, if it is not in the same file.
    """

    cacert: str | None = None
    cert: str | None = None
    key: str | None = None

    def policy(self) -> "IPolicyForHTTPS":
        """
        For an agent of Twisted's.

        @raise ConfigWrong: if a file does not hold what it should.
        """
        from .trusting import policy

        try:
            return policy(*map(_read, self))
        except (OSError, ValueError) as error:
            raise self._wrong(error) from None

    def context(self) -> "SSLContext":
        """
        For asyncio.

        @raise ConfigWrong: if a file does not hold what it should.
        """
        import ssl

        try:
            context = ssl.create_default_context(cafile=self.cacert)
            if self.cert:
                context.load_cert_chain(self.cert, self.key, password=_no_password)
        except (OSError, ValueError) as error:  # SSLError is an OSError
            raise self._wrong(error) from None
        return context

    def _wrong(self, error: Exception) -> ConfigWrong:
        why = getattr(error, "strerror", None) or str(error)
        named = getattr(error, "filename", None) or ", ".join(filter(None, self))
        return ConfigWrong(f"{named}: {why}")


def _read(path: str | None) -> bytes | None:
    return None if path is None else Path(path).read_bytes()


def _no_password() -> str:
    raise ValueError("the key has a password; give one without")


def blocks(data: bytes, kind: bytes) -> list[bytes]:
    """The blocks of a PEM file (RFC 7468) whose label ends so."""
    label = rb"-----%s (?:[A-Z0-9]+ )*" + kind + rb"-----"
    return re.findall(rb"(?s)" + label % b"BEGIN" + rb".+?" + label % b"END", data)
