"""A line of the access log for each answer: in the usual form, without secrets."""

import re
from collections.abc import Container
from typing import Any
from urllib.parse import unquote_plus

from twisted.web.http import datetimeToLogString
from twisted.web.iweb import IAccessLogFormatter
from zope.interface import provider

from shellstream.config.command import MASK

#: A token of ours, wherever it is, and a name and password before a host.
_TOKEN = re.compile(r"shs_\w+", re.ASCII)
_USERINFO = re.compile(r"//[^/?#]*@")


def masked(target: str, secrets: Container[str]) -> str:
    """
    A request's target, or any other text that has a URL in it, as it may be kept.

    @param secrets: the names of fields whose values nobody is to see.
    """
    path, mark, query = target.partition("?")
    fields = (_field(each, secrets) for each in query.split("&"))
    path = _USERINFO.sub(f"//{MASK}@", path)
    return _TOKEN.sub(f"shs_{MASK}", f"{path}{mark}{'&'.join(fields)}")


def _field(field: str, secrets: Container[str]) -> str:
    name, is_, value = field.partition("=")
    plain = unquote_plus(value)
    hidden = unquote_plus(name) in secrets or _TOKEN.search(plain)
    return f"{name}={MASK}" if is_ and (hidden or _USERINFO.search(plain)) else field


@provider(IAccessLogFormatter)
def log_line(timestamp: str, request: Any) -> str:
    """
    The combined format, as servers write it since NCSA httpd; who asked is in it.

    @param request: a L{request.Request}, which comes to us through this.
    """
    secrets = request.site.secrets

    def shown(text: bytes) -> str:
        return _escaped(masked(text.decode("latin-1"), secrets))

    # The time that Twisted gives is the reactor's, which is not that of day.
    first = f"{shown(request.method)} {shown(request.uri)} {shown(request.clientproto)}"
    referrer = shown(request.getHeader(b"referer") or b"-")
    agent = shown(request.getHeader(b"user-agent") or b"-")
    caller = request.caller
    who = "-" if caller is None else caller.principal.name
    who = _escaped(who).replace(" ", r"\x20")
    return (
        f'"{_escaped(request.address or "-")}" - {who} {datetimeToLogString()} '
        f'"{first}" {request.code} {request.sentLength or "-"} "{referrer}" "{agent}"'
    )


def _escaped(text: str) -> str:
    """Printable ASCII that does not end where a quotation mark would."""
    return text.encode("unicode_escape").decode("ascii").replace('"', '\\"')
