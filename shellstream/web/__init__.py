"""The HTTP face: which path answers what (see L{shellstream.interfaces})."""

from twisted.internet.interfaces import IReactorTime

from shellstream.interfaces import IRuns

from .doctor import Doctor, Now
from .http import Site
from .index import Commands, Index
from .news import Events
from .output import Answers
from .runs import Runs
from .stream import Stream

__all__ = ["Now", "Site", "root"]


def root(runs: IRuns, clock: IReactorTime, now: Now) -> Index:
    """The tree of all resources."""
    answers = Answers(clock)
    index = Index(runs)
    index.putChild(b"stream", Stream(runs, answers))
    index.putChild(b"commands", Commands(runs))
    index.putChild(b"runs", Runs(runs, answers))
    index.putChild(b"events", Events(runs, answers))
    index.putChild(b"doctor", Doctor(answers, clock, now))
    return index
