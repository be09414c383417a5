"""Reasons of TLS errors."""

from typing import Any


def tls_reason(error: Any) -> str:
    """The reason of an error of pyOpenSSL, in OpenSSL's words."""
    # pyOpenSSL's errors hold a list of (library, function, reason).
    if error.args and isinstance(error.args[0], list) and error.args[0]:
        last = error.args[0][-1]
        return str(last[-1]) if isinstance(last, tuple) else str(last)
    return str(error) or type(error).__name__
