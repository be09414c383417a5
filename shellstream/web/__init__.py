"""The HTTP face: which path answers what (see L{shellstream.interfaces})."""

from twisted.internet.interfaces import IReactorTime

from shellstream.interfaces import IRuns

from .doctor import Doctor, Now
from .entrance import Entrance, Login, Logout
from .gate import Gate
from .health import Health
from .http import Site
from .index import Commands, Index, OpenApi
from .news import Events
from .output import Answers
from .runs import Runs
from .stream import Stream

__all__ = ["Gate", "Now", "Site", "root"]


def root(runs: IRuns, gate: Gate, clock: IReactorTime, now: Now) -> Entrance:
    """The tree of all resources."""
    answers = Answers(clock)
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
    return Entrance(gate, runs, index)
