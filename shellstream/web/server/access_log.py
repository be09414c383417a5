"""The access log: a line for each response, in the usual form, without secrets."""

import re
from collections.abc import Container
from http import HTTPMethod
from typing import Any, Self
from urllib.parse import unquote_plus

from attrs import frozen
from twisted.web.http import datetimeToLogString
from twisted.web.iweb import IAccessLogFormatter
from zope.interface import provider

from shellstream.config.command import MASK
from shellstream.config.loader import Config

#: The most characters of one field. They are cut before anything is done with them:
#: escaped, each byte of a client may be four.
MAX_FIELD = 512

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
        *("cancel", "commands", "doctor", "events", "healthz", "login", "logout"),
        *("openapi.json", "output", "resize", "runs", "signal", "stdin", "stream"),
    }
)
FIELDS = frozenset(
    {
        *("after", "code", "command", "count", "eof", "follow", "format", "gap"),
        *("idle", "interval", "lastEventId", "limit", "lines", "lossless", "offset"),
        *("outcome", "state", "stream", "tail", "wait"),
    }
)

#: The field that holds another target.
_NEXT = "next"

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


@provider(IAccessLogFormatter)
def log_line(timestamp: str, request: Any) -> str:
    """
    A line in the combined format, as servers write it since NCSA httpd.

    @param timestamp: Twisted's, of the reactor's clock; it is not the time of day.
    @param request: a L{request.Request}, which Twisted passes on.
    """
    names: LoggedNames = request.site.names
    uri, referrer, agent = (
        _escaped(show((text or b"-").decode("latin-1")))
        for show, text in zip(
            (names.target, names.url, masked),
            (request.uri, *request.logged_headers()),
            strict=True,
        )
    )
    first = f"{shown_method(request)} {uri} {request.clientproto.decode('ascii')}"
    caller = request.caller
    name = "-" if caller is None else _escaped(caller.principal.name)
    # Programs that read this format take a space for the end of the field.
    name = name.replace(" ", r"\x20")
    return (
        f'"{_escaped(request.address or "-")}" - {name} {datetimeToLogString()} '
        f'"{first}" {request.code} {request.sentLength or "-"} "{referrer}" "{agent}"'
    )


def shown_method(request: Any) -> str:
    """The method of a request, if HTTP has it (RFC 9110, 9; RFC 5789)."""
    method: str = request.method.decode("latin-1")
    return method if method in HTTPMethod.__members__ else MASK


def _escaped(text: str) -> str:
    """Printable ASCII that does not end where a quotation mark would."""
    return text.encode("unicode_escape").decode("ascii").replace('"', '\\"')
