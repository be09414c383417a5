"""Refused requests as entries of the audit."""

from twisted.internet.address import UNIXAddress
from twisted.internet.interfaces import IAddress

from shellstream.model.errors import ShellstreamError
from shellstream.security.audit import AuditAction, AuditEntry
from shellstream.security.authorization import Caller
from shellstream.security.principals import UNIX


def host_of(address: IAddress) -> str:
    """The host number of a peer, or L{UNIX}."""
    if isinstance(address, UNIXAddress):
        return UNIX
    return getattr(address, "host", "")


def refused(
    error: ShellstreamError, address: str, by: Caller | None = None, asked: str = ""
) -> AuditEntry:
    """
    A refusal.

    @param address: where the client is, as far as it is known.
    @param by: the caller, once authenticated.
    @param asked: method and path, without secrets.
    """
    command, params = error.requested
    return AuditEntry(
        action=AuditAction.REFUSED,
        principal="" if by is None else by.principal.name,
        credential="" if by is None else by.principal.credential,
        address=address,
        command=command,
        params=params,
        facts={"request": asked, "status": error.status, "reason": error.logged},
    )
