"""What the tests with real clients and proxies share."""

from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.trial.unittest import TestCase

from tests.support.programs import Gate, Program, run

#: Seconds after which a line that was not shown counts as held back.
PATIENCE = 5


class GateHeld(Exception):
    """A client did not show a line while the command waited for that."""


def folder(test: TestCase) -> Path:
    """A fresh folder of the test's own."""
    path = Path(test.mktemp()).absolute()
    path.mkdir(parents=True)
    return path


def start_client(test: TestCase, *argv: str) -> Program:
    """Start a client as it is by itself, whatever the environment of the tests."""
    home = folder(test)
    # HTTPie would leave a process behind that asks for a newer version.
    (home / "config.json").write_text('{"disable_update_warnings": true}')
    env = {"HTTPIE_CONFIG_DIR": str(home), "PYTHONUNBUFFERED": ""}
    return run(test, *argv, env=env)


async def passes(gate: Gate, client: Program) -> None:
    """
    Let the command through the gate, for as long as somebody would wait.

    @raise GateHeld: if a line is not shown.
    """
    passed = Deferred.fromCoroutine(gate.passed_by(client))
    passed.addTimeout(PATIENCE, reactor)
    try:
        await passed
    except DeferredTimeout:
        raise GateHeld(f"{client.name} showed only {client.out!r}") from None
