"""A context of the standard library's that trusts one certificate."""

import hashlib
import hmac
import ssl
from typing import Any, NoReturn, Self

from .fingerprint import mismatch_message


class _Judged(ssl.SSLObject):
    def do_handshake(self) -> None:
        super().do_handshake()
        context: Any = self.context
        found = hashlib.sha256(self.getpeercert(binary_form=True) or b"").digest()
        if not hmac.compare_digest(found, context.pin):
            error = ssl.SSLCertVerificationError(
                1, mismatch_message(context.pin, found)
            )
            error.verify_message = mismatch_message(context.pin, found)
            raise error


class PinnedContext(ssl.SSLContext):
    """
    Makes connections, for asyncio, whose handshake fails unless one certificate is
    shown: before that nothing can be sent.

    @ivar pin: its fingerprint.
    """

    pin: bytes
    sslobject_class = _Judged

    @classmethod
    def of(cls, pin: bytes) -> Self:
        """One that pins."""
        self = cls(ssl.PROTOCOL_TLS_CLIENT)
        self.check_hostname = False
        self.verify_mode = ssl.CERT_NONE  # by others than us
        self.pin = pin
        return self

    def wrap_socket(self, *args: Any, **more: Any) -> NoReturn:
        """Not to be had: a socket may send without a handshake that we see."""
        raise NotImplementedError("a pinned context is for asyncio only")
