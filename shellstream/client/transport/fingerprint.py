"""Fingerprints of certificates (SHA-256 of the DER form)."""

import re
from base64 import b64decode


class Untrusted(Exception):
    """A server shows another certificate than it should; the text says what to do."""


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


def blocks(data: bytes, kind: bytes) -> list[bytes]:
    """The blocks of a PEM file (RFC 7468) whose label ends so."""
    label = rb"-----%s (?:[A-Z0-9]+ )*" + kind + rb"-----"
    return re.findall(rb"(?s)" + label % b"BEGIN" + rb".+?" + label % b"END", data)
