"""The page at C{/}: every command as a form, its output beneath. No script."""

from base64 import b64encode
from hashlib import sha256
from pkgutil import get_data

from twisted.web.template import Tag, flattenString, tags

from shellstream.config.command import Command
from shellstream.config.loader import Config
from shellstream.config.parameters import Boolean, Integer, Number, Parameter, String
from shellstream.model.errors import BEARER, ShellstreamError
from shellstream.web.server.request import Request

from .base import respond_document, to_root

_STYLE = (get_data(__package__, "page.css") or b"").decode()

#: The field in which a form of our page sends the CSRF token. No parameter of a command
#: can have this name.
CSRF_FIELD = "csrf-token"

#: The page's own style is used, and nothing else is run or loaded (CSP level 3).
POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'self'; frame-src 'self'; "
    "connect-src 'self'; frame-ancestors 'none'; "
    f"style-src 'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'"
)


def respond_with_page(request: Request, page: bytes) -> None:
    """Respond with a page of ours."""
    headers = {
        "Content-Security-Policy": POLICY,
        "Cross-Origin-Opener-Policy": "same-origin",
    }
    request.set_headers(headers)
    respond_document(request, b"text/html; charset=utf-8", page)


def respond_with_login(
    request: Request, error: ShellstreamError, then: str, wrong: str = ""
) -> None:
    """Refuse a request of a browser with the page that asks for a token."""
    request.record_refusal(error)
    request.set_status(error.status)
    headers = dict(error.headers)
    if "WWW-Authenticate" in headers:
        # A browser would ask for Basic in a window of its own, above this page. And it
        # then sends that along with requests that pages of other sites make.
        headers["WWW-Authenticate"] = BEARER
    request.set_headers(headers)
    respond_with_page(request, login_page(to_root(request), then, wrong))


def index_page(config: Config, csrf_token: str | None = None) -> bytes:
    """
    The page for all commands of a configuration.

    @param csrf_token: what its forms send along, if a login session shows it.
    """
    forms = [_form(command, csrf_token) for command in config.commands.values()]
    logout: list[Tag] = []
    if csrf_token is not None:
        button = tags.button("Log out", type="submit")
        logout = [
            tags.form(_hidden(csrf_token), button, method="post", action="logout")
        ]
    return _page(
        tags.header(tags.h1("shellstream"), tags.p("Run here, watch here."), *logout),
        tags.div(*forms),
        # The target of all forms: the page streams without a script.
        tags.iframe(name="output", title="Output of the command"),
    )


def login_page(root: str, then: str, wrong: str = "") -> bytes:
    """
    The page that asks for a token.

    @param root: the relative reference from the page to the root.
    @param then: where to go after the login, a path of ours.
    @param wrong: why the last token was refused, if one was.
    """
    token = tags.input(
        type="password", name="token", required="", autocomplete="current-password"
    )
    return _page(
        tags.header(tags.h1("shellstream"), tags.p("Run here, watch here.")),
        tags.form(
            tags.p("This daemon asks for a token. Whoever started it has one."),
            tags.p(wrong, role="alert"),
            tags.label("token", " ", token),
            tags.input(type="hidden", name="next", value=then),
            tags.button("Log in", type="submit"),
            method="post",
            action=f"{root}login",
        ),
    )


def _page(*body: Tag) -> bytes:
    page = tags.html(
        tags.head(
            tags.meta(charset="utf-8"),
            tags.meta(name="viewport", content="width=device-width"),
            tags.title("shellstream"),
            tags.style(_STYLE),
        ),
        tags.body(*body),
        lang="en",
    )
    found: list[bytes] = []
    flattenString(None, page).addCallback(found.append)
    return b"<!DOCTYPE html>\n" + found[0]


def _hidden(csrf_token: str) -> Tag:
    return tags.input(type="hidden", name=CSRF_FIELD, value=csrf_token)


def _form(command: Command, csrf_token: str | None) -> Tag:
    fields = [_field(parameter) for parameter in command.params.values()]
    if csrf_token is not None:
        fields.append(_hidden(csrf_token))
    return tags.form(
        tags.h2(command.name),
        tags.p(command.description),
        *fields,
        tags.button("Run", type="submit"),
        method="post",
        action=f"stream/{command.name}",
        target="output",
    )


def _field(parameter: Parameter) -> Tag:
    known = {"name": parameter.name, "title": parameter.description}
    match parameter:
        case Parameter(secret=True):
            control = tags.input(type="password", autocomplete="off", **known)
        case String(choices=choices) if choices is not None:
            control = _select(known, choices, parameter.default)
        case Boolean():
            control = _select(known, ("true", "false"), parameter.default)
        case Integer() | Number():
            step = "1" if isinstance(parameter, Integer) else "any"
            control = tags.input(type="number", step=step, **known)
            for bound in ("min", "max"):
                if (value := getattr(parameter, bound)) is not None:
                    control(**{bound: str(value)})
            control(value=parameter.default or "")
        case _:
            control = tags.input(type="text", value=parameter.default or "", **known)
    if parameter.default is None:
        control(required="")
    return tags.label(parameter.name, " ", control)


def _select(
    known: dict[str, str], choices: tuple[str, ...], default: str | None
) -> Tag:
    options = [tags.option(choice, value=choice) for choice in choices]
    for choice, option in zip(choices, options, strict=True):
        if choice == default:
            option(selected="")
    return tags.select(*options, **known)
