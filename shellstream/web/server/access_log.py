"""The access log: a line for each response, in the usual form, without secrets."""

import re
from collections.abc import Container
from typing import Any
from urllib.parse import unquote_plus

from twisted.web.http import datetimeToLogString
from twisted.web.iweb import IAccessLogFormatter
from zope.interface import provider

from shellstream.config.command import MASK

#: The most characters of one field. They are cut before anything is done with them:
#: escaped, each byte of a client may be four.
MAX_FIELD = 512

#: A token of ours, wherever it is, and a name and password before a host.
_TOKEN = re.compile(r"shs_\w+", re.ASCII)
_USERINFO = re.compile(r"//[^/?#]*@")
_CUT_USERINFO = re.compile(r"//[^/?#]*(?:@|\Z)")


def masked(target: str, secrets: Container[str]) -> str:
    """
    A request's target, or any other text that may hold a URL, with its secrets masked;
    no more than the first L{MAX_FIELD} characters.

    @param secrets: the names of fields whose values are secret.
    """
    cut = "..." if len(target) > MAX_FIELD else ""
    target = target[:MAX_FIELD]
    if not ("?" in target or "//" in target or "shs_" in target):
        return target + cut  # most have nothing to mask
    # What was cut off may have been the end of a name and password.
    userinfo = _CUT_USERINFO if cut else _USERINFO
    path, mark, query = target.partition("?")
    fields = (_masked_field(each, secrets, userinfo) for each in query.split("&"))
    path = userinfo.sub(f"//{MASK}@", path)
    return _TOKEN.sub(f"shs_{MASK}", f"{path}{mark}{'&'.join(fields)}") + cut


def _masked_field(
    field: str, secrets: Container[str], userinfo: re.Pattern[str]
) -> str:
    name, is_, value = field.partition("=")
    plain = unquote_plus(value)
    hidden = unquote_plus(name) in secrets or _TOKEN.search(plain)
    return f"{name}={MASK}" if is_ and (hidden or userinfo.search(plain)) else field


@provider(IAccessLogFormatter)
def log_line(timestamp: str, request: Any) -> str:
    """
    A line in the combined format, as servers write it since NCSA httpd.

    @param timestamp: Twisted's, of the reactor's clock; it is not the time of day.
    @param request: a L{request.Request}, which Twisted passes on.
    """
    secrets = request.site.secrets
    uri, referrer, agent = (
        _escaped(masked((text or b"-").decode("latin-1"), secrets))
        for text in (request.uri, *request.logged_headers())
    )
    method = masked(request.method.decode("ascii"), secrets)
    first = f"{method} {uri} {request.clientproto.decode('ascii')}"
    caller = request.caller
    name = "-" if caller is None else _escaped(caller.principal.name)
    # Programs that read this format take a space for the end of the field.
    name = name.replace(" ", r"\x20")
    return (
        f'"{_escaped(request.address or "-")}" - {name} {datetimeToLogString()} '
        f'"{first}" {request.code} {request.sentLength or "-"} "{referrer}" "{agent}"'
    )


def _escaped(text: str) -> str:
    """Printable ASCII that does not end where a quotation mark would."""
    return text.encode("unicode_escape").decode("ascii").replace('"', '\\"')
