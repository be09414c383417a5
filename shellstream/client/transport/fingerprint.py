"""Fingerprints of certificates (SHA-256 of the DER form)."""

import re
from base64 import b64decode


class UntrustedCertificate(Exception):
    """A server shows another certificate than it should; the text says what to do."""


def parse_fingerprint(text: str) -> bytes:
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


def format_fingerprint(found: bytes) -> str:
    """As daemons print it."""
    return f"SHA256:{found.hex()}"


def mismatch_message(pin: bytes, found: bytes) -> str:
    """The error message for a certificate that is not the pinned one."""
    return (
        f"its certificate is {format_fingerprint(found)}, not "
        f"{format_fingerprint(pin)} as pinned: another machine may be in between, or "
        "the server has a new certificate; ask its operator"
    )


def self_signed_message(found: bytes) -> str:
    """The error message for a certificate that no authority has signed."""
    return (
        "no authority has signed its certificate, "
        f"{format_fingerprint(found)}; compare it with what the daemon printed at its "
        "start, and if they are the same, give it as --pin"
    )


def pem_blocks(data: bytes, kind: bytes) -> list[bytes]:
    """The blocks of a PEM file (RFC 7468) whose label ends so."""
    label = rb"-----%s (?:[A-Z0-9]+ )*" + kind + rb"-----"
    return re.findall(rb"(?s)" + label % b"BEGIN" + rb".+?" + label % b"END", data)
