"""Why TLS failed, and what a user can do about it."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from shellstream.client.escape import printable

from .fingerprint import format_fingerprint

#: Errors of OpenSSL's C{x509_vfy.h}, by their numbers: a certificate's dates; that it
#: is its own authority; that its authority, or one behind it, is not trusted.
_NOT_YET_VALID, _EXPIRED, _SELF_SIGNED = 9, 10, 18
_UNKNOWN_AUTHORITY = (2, 19, 20, 21, 27)
_OTHERS = {
    23: "it is revoked",
    26: "it is not for servers",
    66: "its key is too short",
    67: "the key of its authority is too short",
    68: "its signature uses a weak hash",
    79: "what signed it is no authority",
}

#: What to do about OpenSSL's errors in a handshake, by words that they contain.
_CURES = (
    (
        ("wrong version number", "packet length too long", "record layer failure"),
        "the server does not speak TLS at this port; try http://",
    ),
    (
        ("unsupported protocol", "protocol version", "no protocols available"),
        "the server has no TLS 1.2 or 1.3; it needs an update",
    ),
    (
        ("certificate required", "handshake failure", "bad certificate"),
        "the server may ask for a certificate of this client: give one as --cert",
    ),
    (
        ("unknown ca", "certificate expired", "certificate unknown", "access denied"),
        "the server does not take the certificate of this client: see --cert",
    ),
    (
        ("unrecognized name",),
        "the server has no site of this name; use the name that it is known by",
    ),
)

#: A common name does not count (RFC 9525, section 2).
_NO_NAME = "no host (it has no subject alternative name)"

#: The most names of a certificate to show.
_MOST_NAMES = 5


class UntrustedCertificate(Exception):
    """
    The server has the wrong certificate; the text says what to do.

    @ivar fingerprint: of the server's own certificate, if that is known.
    """

    def __init__(self, why: str, fingerprint: str | None = None) -> None:
        super().__init__(why)
        self.fingerprint = fingerprint


def tls_reason(error: Any) -> str:
    """The reason of an error of pyOpenSSL, in OpenSSL's words."""
    # pyOpenSSL's errors hold a list of (library, function, reason).
    if error.args and isinstance(error.args[0], list) and error.args[0]:
        last = error.args[0][-1]
        return str(last[-1]) if isinstance(last, tuple) else str(last)
    return str(error) or type(error).__name__


def explain(error: Any) -> str:
    """The same, and what a user can do."""
    reason = tls_reason(error)
    for words, cure in _CURES:
        if any(each in reason for each in words):
            return f"{cure} ({reason})"
    return reason


def mismatch_message(pin: bytes, found: bytes) -> str:
    """The error message for a certificate that is not the pinned one."""
    return (
        f"its certificate is {format_fingerprint(found)}, not "
        f"{format_fingerprint(pin)} as pinned: another machine may be in between, or "
        "the server has a new certificate; ask its operator"
    )


def other_host_message(host: str, names: Sequence[str]) -> str:
    """The error message for a valid certificate that is not for this host."""
    instead = "use that name in the URL, or " if names else ""
    return (
        f"its certificate is for another host: {_names(names)}, not {host}; {instead}"
        "ask the operator for a certificate with this one"
    )


def refusal_message(
    error: int, host: str, names: Sequence[str], certificate: Any, found: bytes
) -> str:
    """
    The error message for a certificate that OpenSSL does not trust.

    @param error: its number there.
    @param names: the hosts that the certificate is for, and C{host} only if it is.
    @param certificate: the one that is wrong, of C{cryptography}: the server's, or one
        of an authority.
    @param found: its fingerprint.
    """
    if error == _SELF_SIGNED:
        other = "" if host in names else f"is for {_names(names)}, not {host}, and "
        return (
            f"its certificate, {format_fingerprint(found)}, {other}is signed by no "
            "authority; compare it with what the daemon printed at its start, or with "
            "the certificate of the proxy in front of it, and if they are the same, "
            "give it as --pin"
        )
    if error in (_NOT_YET_VALID, _EXPIRED):
        began = f"is valid only from {certificate.not_valid_before_utc}"
        over = f"has expired at {certificate.not_valid_after_utc}"
        now = datetime.now(UTC).replace(microsecond=0)
        return (
            f"its certificate {began if error == _NOT_YET_VALID else over}; the clock "
            f"here shows {now}: set it if it is wrong, or else ask the operator for a "
            "new certificate"
        )
    if error in _UNKNOWN_AUTHORITY:
        issuer = printable(certificate.issuer.rfc4514_string()[:200])
        return (
            "its certificate is signed by an authority that is not trusted here, or "
            f"that the server leaves out: {issuer}; if it is an authority of yours, "
            "give its own certificate as --cacert FILE"
        )
    why = _OTHERS.get(error, f"certificate verify failed, error {error}")
    return f"its certificate is refused: {why}; ask the operator for another one"


def _names(names: Sequence[str]) -> str:
    """Some of the names of a certificate, as text."""
    shown = [printable(each[:100]) for each in names[:_MOST_NAMES]]
    return ", ".join([*shown, *(["…"] if len(names) > _MOST_NAMES else [])]) or _NO_NAME
