"""Which files, or which fingerprint, say whom to trust, and who we are."""

import re
from base64 import b64decode
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .errors import ConfigWrong

if TYPE_CHECKING:
    from ssl import SSLContext

    from twisted.web.iweb import IPolicyForHTTPS


class Untrusted(Exception):
    """A server shows another certificate than it should; the text says what to do."""


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
        from .trusting import policy

        pin = self._pin()
        try:
            cacert, cert, key = map(_read, self._files())
            return policy(cacert, cert, key, pin)
        except (OSError, ValueError) as error:
            raise self._wrong(error) from None

    def context(self) -> "SSLContext":
        """
        For asyncio.

        @raise ConfigWrong: if a file does not hold what it should, or the pin.
        """
        import ssl

        pin = self._pin()
        try:
            if pin is None:
                context = ssl.create_default_context(cafile=self.cacert)
            else:
                from .pinned import PinnedContext

                context = PinnedContext.of(pin)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if self.cert:
                context.load_cert_chain(self.cert, self.key, password=_no_password)
        except (OSError, ValueError) as error:  # SSLError is an OSError
            raise self._wrong(error) from None
        return context

    def _files(self) -> tuple[str | None, str | None, str | None]:
        return self.cacert, self.cert, self.key

    def _pin(self) -> bytes | None:
        if self.pin is None:
            return None
        if self.cacert is not None:
            raise ConfigWrong(BOTH)
        try:
            return digest(self.pin)
        except ValueError as error:
            raise ConfigWrong(str(error)) from None

    def _wrong(self, error: Exception) -> ConfigWrong:
        why = getattr(error, "strerror", None) or str(error)
        files = ", ".join(filter(None, self._files()))
        named = getattr(error, "filename", None) or files
        return ConfigWrong(f"{named}: {why}")


#: What is said of a pin beside authorities: which of them is meant nobody can know.
BOTH = "pin and cacert exclude each other: a pin says which certificate it has to be"


def digest(text: str) -> bytes:
    """
    A SHA-256 fingerprint: as daemons print it, C{SHA256:} and hexadecimal digits, as
    OpenSSL and browsers do, with colons between them, or in Base64.

    @raise ValueError: if it is none.
    """
    given = re.sub(r"(?i)\ASHA256:", "", text.strip())
    plain = given.replace(":", "")
    if re.fullmatch(r"[0-9A-Fa-f]{64}", plain, re.ASCII):
        return bytes.fromhex(plain)
    if re.fullmatch(r"[A-Za-z0-9+/]{43}=?", given, re.ASCII):
        return b64decode(given[:43] + "=")
    raise ValueError(
        f"{text!r} is no fingerprint; it is SHA256: and 64 hexadecimal digits, as the "
        "daemon prints it at its start"
    )


def fingerprint(found: bytes) -> str:
    """As daemons print it."""
    return f"SHA256:{found.hex()}"


def other(pin: bytes, found: bytes) -> str:
    """What is to be said of a certificate that is not the pinned one."""
    return (
        f"its certificate is {fingerprint(found)}, not {fingerprint(pin)} as pinned: "
        "somebody may be in between, or it has a new one; ask whoever runs it"
    )


def self_signed(found: bytes) -> str:
    """What is to be said of a certificate that no authority vouches for."""
    return (
        f"no authority vouches for its certificate, {fingerprint(found)}; compare that "
        "with what the daemon printed at its start, and if they are the same, give it "
        "as --pin"
    )


def _read(path: str | None) -> bytes | None:
    return None if path is None else Path(path).read_bytes()


def _no_password() -> str:
    raise ValueError("the key has a password; give one without")


def blocks(data: bytes, kind: bytes) -> list[bytes]:
    """The blocks of a PEM file (RFC 7468) whose label ends so."""
    label = rb"-----%s (?:[A-Z0-9]+ )*" + kind + rb"-----"
    return re.findall(rb"(?s)" + label % b"BEGIN" + rb".+?" + label % b"END", data)
