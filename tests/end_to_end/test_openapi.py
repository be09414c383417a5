"""schemathesis, which requests all of C{/openapi.json}, and more."""

import json
from pathlib import Path
from typing import Any

from twisted.trial.unittest import TestCase

from tests.support.http_watcher import ask, fetch, post
from tests.support.programs import Daemon, run, script, start_daemon

#: Commands with parameters of each kind, whose runs end at once; but those of the
#: last, which are for what can be done to a run that goes on.
CONFIG = """
default = "kinds"

[commands.kinds]
argv = ["echo", "{text}{choice}{count}{ratio}{fast}{file}"]
get = true
[commands.kinds.params]
text = {type = "string", max_length = 20, default = "x", description = "Words"}
choice = {type = "string", choices = ["a", "b"], default = "a"}
count = {type = "integer", min = 1, max = 8, default = 2}
ratio = {type = "number", min = -1.5, default = 0.5}
fast = {type = "boolean", default = true}
file = {type = "path", roots = ["/tmp"], default = "x"}

[commands.needs]
shell = 'echo "$word" >&2; exit 3'
get = true
[commands.needs.params]
word = {type = "string", pattern = "[a-z]+"}
format = {type = "string", default = "iso"}

[commands.reads]
argv = ["head", "-c", "1"]
stdin = true
tty = true
timeout = 0.2

[commands.sits]
argv = ["cat"]
stdin = true
tty = true
max_running = 4
"""

#: Which run is asked for what: a command, what it is started with, operations.
RUNS: tuple[tuple[str, dict[str, Any], list[str]], ...] = (
    ("sits", {"stdin": True}, ["POST /runs/{id}/cancel"]),
    ("sits", {"stdin": True}, ["POST /runs/{id}/signal"]),
    ("sits", {"stdin": True}, ["POST /runs/{id}/stdin"]),
    ("sits", {"tty": True}, ["POST /runs/{id}/resize"]),
    ("kinds", {}, ["GET /runs/{id}", "HEAD /runs/{id}"]),
    ("kinds", {}, ["GET /runs/{id}/output", "HEAD /runs/{id}/output"]),
    ("kinds", {}, ["DELETE /runs/{id}"]),
)

OPERATION = """
[[operations]]
include-name = {names}
parameters = {{"path.id" = "{run}"}}
"""

#: How to ask.
SETTINGS = """
workers = 1
request-timeout = 20
continue-on-failure = true

[generation]
deterministic = true
max-examples = 10
database = "none"

[phases.stateful]
enabled = false

[checks]
enabled = false
status_code_conformance.enabled = true
content_type_conformance.enabled = true
response_headers_conformance.enabled = true
response_schema_conformance.enabled = true
unsupported_method.enabled = true
allow_header_conformance.enabled = true
[checks.not_a_server_error]
enabled = true
expected-statuses = ["2xx", "3xx", "4xx", "503"]

# A ticker takes as long as one wants; the news never end, but begin with an event
# for tools that know only older ones.
[[operations]]
include-path = "/doctor"
parameters = {"query.interval" = 0, "query.idle" = 0}
[[operations]]
include-path = "/events"
max-stream-events = 1
parameters = {"header.Last-Event-ID" = "1@0"}
"""

HOOKS = str(Path(__file__).with_name("schemathesis_hooks.py").absolute())

#: What every request says.
HEADERS: tuple[str, ...] = ()


class SchemathesisTests(TestCase):
    """Every response matches the document, for any request."""

    timeout = 300

    async def start(self, daemon: Daemon, command: str, wish: dict[str, Any]) -> str:
        """The id of a new run; of C{kinds}, when that has ended."""
        order = post("/runs", {"command": command, **wish})
        run: str = json.loads((await ask(daemon.port, order)).body)["id"]
        if command == "kinds":
            await fetch(daemon.port, f"/runs/{run}/output")
        return run

    async def test_as_told(self) -> None:
        """No answer is one that the document does not tell of."""
        daemon = await start_daemon(self, CONFIG, "--state-dir", ":memory:")
        settings = f"hooks = {json.dumps(HOOKS)}\n{SETTINGS}"
        for command, wish, names in RUNS:
            run_id = await self.start(daemon, command, wish)
            settings += OPERATION.format(names=json.dumps(names), run=run_id)
        path = Path(self.mktemp()).absolute()
        path.write_text(settings, "utf-8")
        program = run(
            self,
            script("schemathesis"),
            f"--config-file={path}",
            "run",
            f"{daemon.url}/openapi.json",
            *(f"--header={each}" for each in HEADERS),
        )
        status = await program.ended()
        self.assertEqual(status, 0, program.out.decode() + program.err.decode())
        self.assertNotIn(b"Traceback", daemon.program.out)
