"""Of what L{openapi.document} is made: objects of OpenAPI 3.1, and builders."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from shellstream.output.formats import FORMATS
from shellstream.web.resources.base import JSON
from shellstream.web.resources.run_output import TRAILERS
from shellstream.web.server.problem_details import PROBLEM

from .schemas import RUN_ID, SIZE, TEXT, Schema, one_of, ref

#: A JSON object of the document.
Object = Mapping[str, Any]

#: What is wrong, by status: what anything may be answered with …
_ANYWHERE = {
    400: "The request is malformed, or has parameters that do not fit: each is named",
    401: "This needs a credential, or that which was sent is no good",
    403: "Who asks may not do this, or a page of another site had a browser ask",
    408: "The rest of the request did not come in time",
    417: "Of what Expect may ask only 100-continue is done here",
    421: "The Host is none that this daemon goes by",
    429: "Too many wrong credentials, or connections, came from this address",
    431: "The request line and headers are too large",
    500: "The daemon failed to answer, or the command cannot be started",
    503: "The daemon is at a limit, stops, or cannot record runs",
}
#: … and only some.
_PROBLEMS = {
    **_ANYWHERE,
    404: "There is no such command or run, or who asks is not to know of it",
    405: "The path does not answer this method",
    406: "Output comes in no format that is accepted",
    409: "The run is not in a state for this",
    410: "What is asked for is not kept any more",
    413: "The body is too large",
    415: "The body is of a type that is not read",
    416: "The output ends before what is asked for",
    422: "The Idempotency-Key came before, with another request",
}


def _header(about: str, schema: Schema = TEXT, *, always: bool = True) -> Object:
    return {"description": about, "schema": schema, "required": always}


#: By name; those that are required are so wherever an answer is said to have them.
HEADERS: Mapping[str, Object] = {
    "Accept-Ranges": _header("Of plain output", {"const": "bytes"}, always=False),
    "Allow": _header("The methods that are answered"),
    "Content-Range": _header("Which part it is (RFC 9110, 14.4)"),
    "ETag": _header("Of plain output, for If-Range", always=False),
    "Link": _header('The next page, rel="next"', always=False),
    "Location": _header("Where the run is, or where to go on"),
    "Retry-After": _header("When to try again, in seconds", SIZE),
    "Shellstream-Request-Version": _header("The HTTP that came here, or to a proxy"),
    "Shellstream-Run": _header("The run's id", RUN_ID),
    "Shellstream-Stdin-Offset": _header(
        "How much of the whole input is taken", SIZE, always=False
    ),
    "Trailer": _header("Those behind plain output that is chunked", always=False),
    "WWW-Authenticate": _header("How to say who asks"),
    **{
        name: _header("Of plain output of a run that has ended", always=False)
        for name in TRAILERS
    },
}
_OF_PROBLEMS: Mapping[int, Sequence[str]] = {
    401: ["WWW-Authenticate"],
    405: ["Allow"],
    409: ["Shellstream-Stdin-Offset"],
    416: ["Content-Range"],
    429: ["Retry-After"],
    503: ["Retry-After"],
}

#: Those that a browser is answered with by a page that asks for a token.
_ASKING = {401, 429}


def security(cookie: str) -> Mapping[str, Object]:
    """
    The ways to say who asks.

    @param cookie: the name of a session's.
    """
    basic = "A token as the password; the user's name does not matter"
    session = "Of a browser that has shown a token at /login"
    return {
        "bearer": {"type": "http", "scheme": "bearer", "description": "A token"},
        "basic": {"type": "http", "scheme": "basic", "description": basic},
        "certificate": {"type": "mutualTLS", "description": "A client's certificate"},
        "session": {
            "type": "apiKey",
            "in": "cookie",
            "name": cookie,
            "description": session,
        },
    }


_RECORDS: Mapping[str, Object] = {
    "plain": {},
    "sse": {"schema": ref("OutputEvent")},
    "ndjson": {"schema": ref("Record")},
    "frames": {},
}
#: Output, in each of its formats.
OUTPUT: Object = {each.media_type: _RECORDS[each.name] for each in FORMATS}


def parameter(
    name: str,
    about: str,
    schema: Schema,
    where: str = "query",
    *,
    required: bool = False,
    **more: object,
) -> Object:
    """A parameter of a request."""
    given = {"name": name, "in": where, "required": required, "schema": schema}
    return {**given, **({"description": about} if about else {}), **more}


#: Those that several requests have.
PARAMETERS: Mapping[str, Object] = {
    "Format": parameter(
        "format", "In place of Accept", one_of(each.name for each in FORMATS)
    ),
    "Run": parameter("id", "The run's id", RUN_ID, "path", required=True),
    "Idempotency-Key": parameter(
        "Idempotency-Key",
        "The same request with the same key, again, is for the same run",
        {"type": "string", "minLength": 1, "maxLength": 255},
        "header",
    ),
    "Last-Event-ID": parameter(
        "Last-Event-ID",
        "The id of the last event, behind which to go on",
        {"type": "string", "minLength": 1, "maxLength": 84},
        "header",
    ),
}
FORMAT, RUN, KEY, LAST = (
    {"$ref": f"#/components/parameters/{name}"} for name in PARAMETERS
)

HTML: Object = {"text/html": {"schema": TEXT}}


def number(low: float, high: float, default: float | None = None) -> Schema:
    """A number between two others, whole if these are."""
    kind = "integer" if isinstance(low, int) else "number"
    schema = {"type": kind, "minimum": low, "maximum": high}
    return schema if default is None else {**schema, "default": default}


def json_of(schema: str) -> Object:
    """Content that is JSON."""
    return {JSON.decode(): {"schema": ref(schema)}}


def answer(about: str, content: Mapping[str, Any] = {}, *headers: str) -> Object:
    """What a request is answered with."""
    found = {name: {"$ref": f"#/components/headers/{name}"} for name in headers}
    return {"description": about, "content": content, "headers": found}


def problems() -> Mapping[str, Object]:
    """All answers that say what is wrong."""
    content = {PROBLEM.decode(): {"schema": ref("Problem")}}
    asking = {**content, **HTML}
    return {
        str(status): answer(
            about,
            asking if status in _ASKING else content,
            *_OF_PROBLEMS.get(status, ()),
        )
        for status, about in _PROBLEMS.items()
    }


def operation(
    name: str,
    summary: str,
    answers: Mapping[int, Object],
    wrong: Iterable[int] = (),
    given: Sequence[Object] = (),
    body: Object | None = None,
    *,
    public: bool = False,
) -> Object:
    """
    A method of a path.

    @param wrong: what it may be answered with, beside what anything may.
    @param given: its parameters.
    @param public: whether nobody has to say who they are.
    """
    refused = {
        status: {"$ref": f"#/components/responses/{status}"}
        for status in {*_ANYWHERE, *wrong}
    }
    responses = {**answers, **refused}
    return {
        "operationId": name,
        "summary": summary,
        "parameters": given,
        **({"security": []} if public else {}),
        **({"requestBody": body} if body else {}),
        "responses": {str(status): responses[status] for status in sorted(responses)},
    }


def reading(get: Object, head: Object | None = None) -> Object:
    """GET, and HEAD: like it, if nothing else is said."""
    name = f"{get['operationId']}.head"
    about = {"operationId": name, "summary": "The headers of what GET answers"}
    return {"get": get, "head": {**(head or get), **about}}
