"""The answers of access control, which travel with a request."""

from attrs import frozen

from shellstream.runs.authorized_runs import AuthorizedRuns
from shellstream.security.authorization import Caller
from shellstream.security.login_sessions import Session


@frozen(eq=False)
class RequestContext:
    """
    Who sends a request, and the runs that this caller may use: found out once.

    @ivar runs: all that a resource can do; it knows the caller.
    @ivar session: the login session that the browser's cookie names, if any.
    """

    runs: AuthorizedRuns
    session: Session | None = None

    @property
    def caller(self) -> Caller:
        """Who sends the request, and from where."""
        return self.runs.caller
