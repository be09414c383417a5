"""How refusals, and those who are refused, are told to the audit."""

from twisted.internet.address import UNIXAddress
from twisted.internet.interfaces import IAddress

from shellstream.model.errors import PathNotFound, RunFailed, ShellstreamError
from shellstream.security.audit import AuditAction, Entry
from shellstream.security.authorization import Caller
from shellstream.security.principals import UNIX


def host_of(address: IAddress) -> str:
    """Where a peer is: the number of a host, or L{UNIX}."""
    if isinstance(address, UNIXAddress):
        return UNIX
    return getattr(address, "host", "")


def is_noted(error: ShellstreamError) -> bool:
    """
    Whether it belongs into the audit that somebody was told so.

    Of a run that failed there is its end; and who looks for what is nowhere, as
    browsers do, is in the access log.
    """
    return not isinstance(error, PathNotFound | RunFailed)


def refused(
    error: ShellstreamError, address: str, by: Caller | None = None, asked: str = ""
) -> Entry:
    """
    Somebody was told so.

    @param by: who, if that is known.
    @param asked: what they asked for, without what is not to be kept.
    """
    command, params = error.requested
    return Entry(
        what=AuditAction.REFUSED,
        who="" if by is None else by.principal.name,
        credential="" if by is None else by.principal.credential,
        address=address,
        command=command,
        params=params,
        facts={"request": asked, "status": error.status, "reason": str(error)},
    )
