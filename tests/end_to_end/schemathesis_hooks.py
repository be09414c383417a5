"""Hooks that schemathesis loads for L{tests.end_to_end.test_openapi}."""

from itertools import count
from typing import Any

import schemathesis

_numbers = count()


@schemathesis.hook
def before_call(context: object, case: Any, kwargs: object) -> None:
    """
    Send each order to C{/stream} with a key of its own.

    It sends the same few with everything, and nearly all would be answered with 422.
    """
    key = (case.headers or {}).get("Idempotency-Key")
    if key and len(key) < 200 and case.path.startswith("/stream"):
        case.headers["Idempotency-Key"] = f"{key}{next(_numbers)}"
