"""Errors as problem documents (RFC 9457)."""

import json
from http import HTTPStatus

from shellstream import __version__
from shellstream.model.errors import ShellstreamError

PROBLEM = b"application/problem+json"
SERVER = f"shellstream/{__version__}"


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
