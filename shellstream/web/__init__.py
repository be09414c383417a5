"""The HTTP face: which path answers what (see L{shellstream.runs.interfaces})."""

from twisted.internet.interfaces import IReactorTime

from shellstream.runs.interfaces import IRuns
from shellstream.web.openapi.resource import OpenApi
from shellstream.web.resources.health import Health
from shellstream.web.resources.index import Commands, Index
from shellstream.web.resources.login import Login, Logout
from shellstream.web.resources.run_events import Events
from shellstream.web.resources.run_output import OutputResponder
from shellstream.web.resources.runs import Runs
from shellstream.web.resources.stream import Stream
from shellstream.web.resources.tick_stream import Doctor, Now
from shellstream.web.server.authentication import Authenticator
from shellstream.web.server.site import Site

from .access_control import AccessControl

#: The exported name.
Gate = Authenticator

__all__ = ["Gate", "Now", "Site", "root"]


def root(
    runs: IRuns, gate: Authenticator, clock: IReactorTime, now: Now
) -> AccessControl:
    """The tree of all resources."""
    answers = OutputResponder(clock)
    index = Index()
    index.putChild(b"stream", Stream(answers))
    index.putChild(b"commands", Commands())
    index.putChild(b"runs", Runs(answers))
    index.putChild(b"events", Events(runs.events, answers))
    index.putChild(b"doctor", Doctor(answers, clock, now))
    index.putChild(b"healthz", Health(clock))
    index.putChild(b"openapi.json", OpenApi())
    index.putChild(b"login", Login())
    index.putChild(b"logout", Logout())
    return AccessControl(gate, runs, index)
