"""The access log: a line for each response, in the usual form, without secrets."""

import re
from collections.abc import Callable, Container
from functools import lru_cache
from http import HTTPMethod
from typing import Any, NamedTuple, Self
from urllib.parse import unquote_plus

from attrs import define, field, frozen
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.web.http import datetimeToLogString

from shellstream.config.command import MASK
from shellstream.config.loader import Config

#: The most characters of one field. They are cut before anything is done with them:
#: escaped, each byte of a client may be four.
MAX_FIELD = 512

#: Seconds that a line may wait, and how many may.
FLUSH_DELAY = 0.2
MOST_WAITING = 100

#: How many different targets, referrers and user agents are remembered as they are
#: shown; each may have four times L{MAX_FIELD} characters.
CACHED = 128

#: The most characters of a host (RFC 1035, 2.3.4), with its port.
MAX_HOST = 262

#: A token of ours, wherever it is, and a name and password before a host.
_TOKEN = re.compile(r"shs_\w+", re.ASCII)
_USERINFO = re.compile(r"//[^/?#]*@")
_CUT_USERINFO = re.compile(r"//[^/?#]*(?:@|\Z)")

_URL = re.compile(r"((?i:https?)://)([^/?#]*)([^#]*)", re.DOTALL)

#: The words of our paths, and the fields of our queries. A test compares them with the
#: document for machines.
WORDS = frozenset(
    {
        *("cancel", "commands", "doctor", "events", "healthz", "livez", "login"),
        *("logout", "metrics", "readyz"),
        *("openapi.json", "output", "resize", "runs", "signal", "stdin", "stream"),
    }
)
FIELDS = frozenset(
    {
        *("after", "code", "command", "count", "eof", "follow", "format", "gap"),
        *("idle", "interval", "lastEventId", "limit", "lines", "lossless", "offset"),
        *("outcome", "start", "state", "stream", "tail", "wait"),
    }
)

#: The field that holds another target.
_NEXT = "next"

_METHODS = frozenset(HTTPMethod.__members__)

_log = Logger()

_RUN_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


@frozen
class LoggedNames:
    """
    The names that the operator has given, which the logs may show.

    What a client sends under another name is told to this client alone. It may be a
    secret: as a whole body without its name, in the path, or under a misspelt name.

    @ivar commands: names of commands.
    @ivar params: names of parameters whose values may be shown as well.
    @ivar secrets: names of parameters whose values are secret.
    """

    commands: Container[str] = ()
    params: Container[str] = ()
    secrets: Container[str] = ()

    @classmethod
    def of(cls, config: Config) -> Self:
        """The names of a configuration."""
        params = {name for each in config.commands.values() for name in each.params}
        secrets = config.secrets
        return cls(frozenset(config.commands), params - secrets, secrets)

    def target(self, target: str) -> str:
        """
        A request's target (RFC 9112, 3.2) as the logs may show it; no more than the
        first L{MAX_FIELD} characters.
        """
        cut = "..." if len(target) > MAX_FIELD else ""
        path, mark, query = target[:MAX_FIELD].partition("?")
        shown = "/".join(map(self._segment, path.split("/")))
        if mark:
            userinfo = _CUT_USERINFO if cut else _USERINFO
            fields = (self._field(each, userinfo) for each in query.split("&"))
            shown += f"?{'&'.join(fields)}"
        return shown + cut

    def url(self, url: str) -> str:
        """A URL that a client sent, in the same way."""
        found = _URL.match(url)
        if found is None:
            return url if url == "-" else MASK
        scheme, host, target = found.groups()
        host = host.rpartition("@")[2][:MAX_HOST]
        return f"{scheme}{host}{self.target(target)}"

    def _segment(self, text: str) -> str:
        known = not text or text in WORDS or text in self.commands
        return text if known or _RUN_ID.fullmatch(text) else MASK

    def _field(self, field: str, userinfo: re.Pattern[str]) -> str:
        name, is_, value = field.partition("=")
        plain, text = unquote_plus(name), unquote_plus(value)
        if plain in self.secrets or plain == _NEXT:
            return f"{name}={MASK}" if is_ else name
        if plain not in self.params and plain not in FIELDS:
            return MASK if field else ""
        hidden = _TOKEN.search(text) or userinfo.search(text)
        return f"{name}={MASK}" if hidden else field


#: Where there is no configuration.
NO_NAMES = LoggedNames()


def masked(text: str) -> str:
    """
    Any text of a client without our tokens, and without passwords in URLs; no more than
    the first L{MAX_FIELD} characters.
    """
    cut = "..." if len(text) > MAX_FIELD else ""
    # What was cut off may have been the end of a name and password.
    userinfo = _CUT_USERINFO if cut else _USERINFO
    text = userinfo.sub(f"//{MASK}@", text[:MAX_FIELD])
    return _TOKEN.sub(f"shs_{MASK}", text) + cut


class AccessLine(NamedTuple):
    """
    A response, as the access log shows it: without secrets, in printable ASCII.

    Its text is in the combined format, as servers write it since NCSA httpd.

    @ivar run: the run that the request was about.
    @ivar trace: the trace that the request is a part of.
    """

    address: str
    principal: str
    time: str
    method: str
    target: str
    protocol: str
    status: int
    size: int
    referrer: str
    agent: str
    run: str | None = None
    trace: str | None = None

    @property
    def short(self) -> str:
        """The request and its status."""
        return f"{self.method} {self.target} {self.status}"

    @property
    def document(self) -> dict[str, object]:
        """All but the time, the run and the trace."""
        names = self._fields[:2] + self._fields[3:-2]
        return {name: getattr(self, name) for name in names}

    def __str__(self) -> str:
        first = f"{self.method} {self.target} {self.protocol}"
        return (
            f'"{self.address}" - {self.principal} {self.time} "{first}" {self.status} '
            f'{self.size or "-"} "{self.referrer}" "{self.agent}"'
        )


@define(eq=False)
class AccessLog:
    """
    Writes the lines of the access log, some time after their responses.

    Twisted takes a hundred calls for a line. Nobody waits for these.

    @ivar names: what a line may show.
    """

    _clock: IReactorTime
    names: LoggedNames
    _lines: list[AccessLine] = field(factory=list, init=False)
    _call: IDelayedCall | None = field(default=None, init=False)
    _target: Callable[[str], str] = field(init=False)
    _url: Callable[[str], str] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.show(self.names)

    def show(self, names: LoggedNames) -> None:
        """From now on a line may show these names."""
        self.names = names
        # Most clients repeat themselves.
        self._target = lru_cache(CACHED)(lambda text: _escaped(self.names.target(text)))
        self._url = lru_cache(CACHED)(lambda text: _escaped(self.names.url(text)))

    def add(self, request: Any) -> None:
        """Add the line of a response."""
        if self._call is None:
            self._call = self._clock.callLater(FLUSH_DELAY, self.flush)
        self._lines.append(self.line(request))
        if len(self._lines) >= MOST_WAITING:
            self.flush()

    def line(self, request: Any) -> AccessLine:
        """@param request: a L{request.Request}."""
        uri = self._target((request.uri or b"-").decode("latin-1"))
        referrer, agent, run, trace = request.logged_headers()
        caller = request.caller
        name = "-" if caller is None else _name(caller.principal.name)
        return AccessLine(
            _name(request.address or "-"),
            name,
            datetimeToLogString(),
            shown_method(request),
            uri,
            request.clientproto.decode("ascii"),
            request.code,
            request.sentLength,
            self._url(referrer),
            _agent(agent),
            run,
            trace,
        )

    def flush(self) -> None:
        """Write the lines that are waiting."""
        lines, self._lines = self._lines, []
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None
        # An entry each: Twisted would indent what follows in one of several lines.
        for line in lines:
            # Without a field in the format Twisted takes 40 calls less.
            text = str(line).replace("{", "{{").replace("}", "}}")
            run, trace = line.run, line.trace
            _log.info(text, line=line, run=run, trace=trace, log_system="-")


@lru_cache(CACHED)
def _name(text: str) -> str:
    # Programs that read this format take a space for the end of the field.
    return _escaped(text).replace(" ", r"\x20")


@lru_cache(CACHED)
def _agent(text: str) -> str:
    return _escaped(masked(text))


def shown_method(request: Any) -> str:
    """The method of a request, if HTTP has it (RFC 9110, 9; RFC 5789)."""
    method: str = request.method.decode("latin-1")
    return method if method in _METHODS else MASK


def _escaped(text: str) -> str:
    """Printable ASCII that does not end where a quotation mark would."""
    return text.encode("unicode_escape").decode("ascii").replace('"', '\\"')
