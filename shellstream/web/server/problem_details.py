"""Errors as problem documents (RFC 9457)."""

import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from shellstream import __version__
from shellstream.model.errors import HeaderValue, ShellstreamError

PROBLEM = b"application/problem+json"
SERVER = f"shellstream/{__version__}"

#: Makes the response to a refused request: its headers beyond those of every response,
#: and its body.
Represent = Callable[[Any, ShellstreamError], tuple[Mapping[str, HeaderValue], bytes]]


def as_problem(
    request: Any, error: ShellstreamError
) -> tuple[Mapping[str, HeaderValue], bytes]:
    """The response to a program: L{Represent}."""
    return {**error.headers, "Content-Type": PROBLEM.decode()}, problem(error)


def problem(error: ShellstreamError) -> bytes:
    """An error as a problem document."""
    document = {
        "title": HTTPStatus(error.status).phrase,
        "status": error.status,
        "detail": str(error),
        **error.extensions,
    }
    return json_line(document)


def json_line(document: object) -> bytes:
    """A JSON document that reads well in a terminal."""
    return json.dumps(document, indent=2).encode() + b"\n"
