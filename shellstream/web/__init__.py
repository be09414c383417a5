"""The HTTP face: which path is answered by which resource, behind access control."""

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from shellstream.output.counts import OutputCounts
from shellstream.runs.interfaces import IRuns
from shellstream.security.audit import AuditEntry
from shellstream.web.monitoring.health import Health, Live
from shellstream.web.monitoring.metrics import Metrics, Monitor
from shellstream.web.openapi.resource import OpenApi
from shellstream.web.resources.index import Commands, Index
from shellstream.web.resources.login import Login, Logout
from shellstream.web.resources.pages import Assets, represent
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

__all__ = ["Gate", "Now", "Site", "represent", "root"]


def root(
    runs: IRuns,
    authenticator: Authenticator,
    clock: IReactorTime,
    now: Now,
    record: Callable[[AuditEntry], object] = lambda entry: None,
    monitor: Monitor | None = None,
    counts: OutputCounts | None = None,
) -> AccessControl:
    """
    The resource for a L{Site}: all paths, behind access control.

    @param record: puts an entry into the audit.
    @param monitor: measures the daemon; without one there is no C{/metrics}.
    @param counts: gets what viewers count.
    """
    responder = OutputResponder(clock, counts or OutputCounts())
    events = Events(lambda: runs.events, responder)
    tree = Index(responder, events.position)
    tree.putChild(b"stream", Stream(responder))
    tree.putChild(b"commands", Commands())
    tree.putChild(b"runs", Runs(responder))
    tree.putChild(b"events", events)
    tree.putChild(b"doctor", Doctor(responder, clock, now))
    health = Health(clock, lambda: 0.0 if monitor is None else monitor.lag)
    tree.putChild(b"healthz", health)
    tree.putChild(b"readyz", health)
    tree.putChild(b"livez", Live())
    if monitor is not None:
        tree.putChild(b"metrics", Metrics(monitor))
    tree.putChild(b"openapi.json", OpenApi(authenticator))
    tree.putChild(b"assets", Assets())
    tree.putChild(b"login", Login(authenticator))
    tree.putChild(b"logout", Logout(authenticator))
    return AccessControl(authenticator, runs, record, tree)
