"""Tests for L{shellstream.web}: the index, for programs and for people."""

import json
from typing import Any

from shellstream import __version__
from shellstream.config.command import Command
from shellstream.config.loader import Config
from shellstream.config.parameters import Boolean, Integer, Number, Path, String
from shellstream.model.limits import Limits
from tests.support.http import WebTestCase, resolved
from tests.support.pages import BROWSER

HOSTILE = "<script>alert(1)</script>\"'&"
BUILD = Command(
    name="build",
    description=HOSTILE,
    argv=("/opt/secret/make", "{target}{jobs}{ratio}{fast}{file}{text}"),
    limits=Limits(timeout=30.0),
    params={
        "target": String(name="target", choices=("all", HOSTILE), default=HOSTILE),
        "jobs": Integer(name="jobs", min=1, max=8, default="2"),
        "ratio": Number(name="ratio", min=0.5, default="0.75"),
        "fast": Boolean(name="fast", default="true"),
        "file": Path(name="file", roots=("/srv/secret",)),
        "text": String(name="text", description=HOSTILE, default=HOSTILE),
    },
)
SAY = Command(name="say", shell="echo secret", get=True)


class IndexTestCase(WebTestCase):
    """Two commands, whose words are not to be trusted."""

    config = Config(commands={"build": BUILD, "say": SAY}, default="say")


class JsonIndexTests(IndexTestCase):
    """Programs get JSON."""

    def document(self, path: str, **headers: str) -> Any:
        """The document at this path, which a cache may not keep."""
        reply = self.ask("GET", path, headers=headers)
        self.assertEqual((reply.status, reply.whole), (200, True))
        self.assertEqual(reply.headers["content-type"], "application/json")
        self.assertEqual(reply.headers["cache-control"], "no-store")
        self.assertEqual(reply.headers["x-content-type-options"], "nosniff")
        self.assertNotIn(b"secret", reply.body)
        self.assertTrue(reply.body.endswith(b"}\n"))
        return resolved(path, json.loads(reply.body))

    def test_index(self) -> None:
        """
        The index links to the other resources; it is JSON unless HTML is requested.
        """
        expected = {
            "name": "shellstream",
            "version": __version__,
            "stream": "/stream",
            "default": "say",
            "commands": "commands",
            "runs": "runs",
            "events": "events",
            "doctor": "doctor",
            "healthz": "healthz",
            "openapi": "openapi.json",
            "principal": "anonymous",
            "csrf_token": None,
        }
        self.assertEqual(self.document("/"), expected)
        self.assertEqual(self.document("/", Accept="*/*"), expected)
        self.assertEqual(self.document("/", Accept="application/json"), expected)
        self.assertEqual(self.document("/?x=1"), expected)
        self.assertEqual(self.reply().headers["vary"], "Accept, Origin")

    def test_commands(self) -> None:
        """The commands are listed in the order of the configuration."""
        found = self.document("/commands")
        self.assertEqual(found["default"], "say")
        self.assertEqual([each["name"] for each in found["commands"]], ["build", "say"])
        for each in found["commands"]:
            self.assertEqual(self.document(f"/commands/{each['name']}"), each)
            self.assertEqual(self.document(f"/commands/{each['name']}/"), each)
        self.assertEqual(self.document("/commands/"), found)

    def test_command(self) -> None:
        """A command is shown with its address and its parameters' schema."""
        found = self.document("/commands/build")
        schema = found.pop("parameters")
        self.assertEqual(
            found,
            {
                "name": "build",
                "description": HOSTILE,
                "heading": "",
                "confirm": "",
                "stream": "/stream/build",
                "methods": ["POST"],
                "stdin": False,
                "tty": False,
                "timeout": 30.0,
                "linger": 10.0,
            },
        )
        self.assertEqual(schema["type"], "object")
        self.assertIs(schema["additionalProperties"], False)
        self.assertEqual(schema["required"], ["file"])
        self.assertEqual(
            schema["properties"],
            json.loads(json.dumps({n: p.schema() for n, p in BUILD.params.items()})),
        )
        self.assertEqual(self.document("/commands/say")["methods"], ["GET", "POST"])

    def test_head(self) -> None:
        """HEAD answers with the headers alone."""
        for path in ("/", "/commands", "/commands/say"):
            whole = self.ask("GET", path)
            reply = self.ask("HEAD", path)
            self.assertEqual((reply.status, reply.rest), (200, b""))
            for name in ("content-length", "content-type"):
                self.assertEqual(reply.headers[name], whole.headers[name])

    def test_who_prefers_it(self) -> None:
        """A client that does not prefer HTML gets JSON; a browser gets the page."""
        reply = self.ask("GET", "/", headers={"Accept": BROWSER})
        self.assertEqual(reply.headers["content-type"], "text/html; charset=utf-8")
        for accept in ("*/*", "application/json, text/html;q=0.9"):
            reply = self.ask("GET", "/", headers={"Accept": accept})
            self.assertEqual(reply.headers["content-type"], "application/json")
            self.assertEqual(reply.headers["vary"], "Accept, Origin")
