"""The daemon's log as a program reads it, and the trace of a run."""

import json
import sys
from typing import Any

from twisted.trial.unittest import TestCase

from tests.support.programs import needs, run, start_daemon

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"

CONFIG = """
[commands.trace]
shell = 'echo "$TRACEPARENT $TRACESTATE"'
get = true
"""


class LogTests(TestCase):
    """Lines of JSON, in which a run can be found by its id and by its trace."""

    timeout = 60
    skip = needs("curl")

    async def test_trace(self) -> None:
        """A request's trace is that of its run, and in each line about both."""
        daemon = await start_daemon(self, CONFIG, "--log-format", "json")
        url = f"{daemon.url}/stream/trace"
        valid = ("-H", f"traceparent: {PARENT}", "-H", "tracestate: a=b")
        for headers, expected in (
            (valid, f"{PARENT} a=b\n"),
            (("-H", f"traceparent: {PARENT}x", "-H", "tracestate: a=b"), " \n"),
            ((), " \n"),
        ):
            client = run(self, "curl", "-s", *headers, url)
            await client.ended()
            self.assertEqual(client.out.decode(), expected)
        command = (sys.executable, "-m", "shellstream.client", f"{url}?format=frames")
        env = {"TRACEPARENT": PARENT, "TRACESTATE": "c=d"}
        client = run(self, *command, env=env)
        await client.ended()
        self.assertEqual(client.out.decode(), f"{PARENT} c=d\n", client.err)
        daemon.program.signal("TERM")
        await daemon.program.ended()
        lines: list[Any] = [
            json.loads(each) for each in daemon.program.out.splitlines()
        ]
        answers = [each for each in lines if "request" in each]
        self.assertEqual(
            [each.get("trace") for each in answers], [TRACE, None, None, TRACE]
        )
        self.assertEqual(len({each["run"] for each in answers}), 4)
        self.assertEqual(answers[0]["request"]["target"], "/stream/trace")
        self.assertEqual({each["level"] for each in lines}, {"info"})
