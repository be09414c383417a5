"""Fingerprints of certificates (SHA-256 of the DER form), and the blocks of PEM."""

import re
from base64 import b64decode


def parse_fingerprint(text: str) -> bytes:
    """
    Parse a SHA-256 fingerprint: C{SHA256:} and hexadecimal digits, as daemons print it;
    with colons between them, as OpenSSL and browsers do; or in Base64, as ssh does.

    @raise ValueError: if it is malformed.
    """
    given = re.sub(r"(?i)\ASHA256:", "", text.strip())
    plain = given.replace(":", "")
    if re.fullmatch(r"[0-9A-Fa-f]{64}", plain, re.ASCII):
        return bytes.fromhex(plain)
    if re.fullmatch(r"[A-Za-z0-9+/]{43}=?", given, re.ASCII):
        return b64decode(given[:43] + "=")
    raise ValueError(
        f"{text!r} is not a fingerprint; one is SHA256: and 64 hexadecimal digits, as "
        "the daemon prints it at its start"
    )


def format_fingerprint(found: bytes) -> str:
    """The form in which daemons print a fingerprint."""
    return f"SHA256:{found.hex()}"


def pem_blocks(data: bytes, kind: bytes) -> list[bytes]:
    """The blocks of a PEM file (RFC 7468) whose label ends with C{kind}."""
    label = rb"-----%s (?:[A-Z0-9]+ )*" + kind + rb"-----"
    return re.findall(rb"(?s)" + label % b"BEGIN" + rb".+?" + label % b"END", data)
