"""Tests for L{shellstream.web}: the index, for programs and for people."""

import json
from html.parser import HTMLParser
from typing import Any

from attrs import evolve

from shellstream import __version__
from shellstream.config.command import Command
from shellstream.config.loader import Config
from shellstream.config.parameters import Boolean, Integer, Number, Path, String
from shellstream.model.limits import Limits
from tests.support.http import WebTestCase, resolved

HOSTILE = "<script>alert(1)</script>\"'&"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"

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


class Page(HTMLParser):
    """The elements of a page, each with its attributes, and its text by element."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[tuple[str, str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append((self.found[-1][0] if self.found else "", data))

    def all(self, *names: str) -> list[dict[str, str | None]]:
        """The attributes of every element of these names."""
        return [attributes for name, attributes in self.found if name in names]


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


class ConsoleTests(IndexTestCase):
    """Browsers get a page."""

    def page(self) -> Page:
        """The page as a browser reads it."""
        reply = self.ask("GET", "/", headers={"Accept": BROWSER})
        self.assertEqual((reply.status, reply.whole), (200, True))
        self.assertEqual(reply.headers["content-type"], "text/html; charset=utf-8")
        self.assertEqual(reply.headers["vary"], "Accept, Origin")
        self.policy = dict(
            part.split(" ", 1)
            for part in reply.headers["content-security-policy"].split("; ")
        )
        self.source = reply.body.decode()
        self.assertTrue(self.source.startswith("<!DOCTYPE html>\n<html"))
        self.assertNotIn("secret", self.source)
        return Page(self.source)

    def test_policy(self) -> None:
        """
        Only scripts and styles of this daemon are used, no script makes HTML of text,
        no site may frame the page, and forms go nowhere else.
        """
        page = self.page()
        for name, value in {
            "default-src": "'none'",
            "script-src": "'self'",
            "style-src": "'self'",
            "require-trusted-types-for": "'script'",
            "trusted-types": "'none'",
            "base-uri": "'none'",
            "form-action": "'self'",
            "frame-src": "'self'",
            "frame-ancestors": "'none'",
        }.items():
            self.assertEqual(self.policy[name], value)
        self.assertNotIn("style=", self.source)
        for each in page.all("script", "link"):
            self.assertTrue((each.get("src") or each["href"]).startswith("assets/"))

    def test_escaped(self) -> None:
        """Text of the configuration is escaped everywhere."""
        page = self.page()
        self.assertNotIn("<script>", self.source)
        self.assertIn(("p", HOSTILE), page.text)
        self.assertIn(("option", HOSTILE), page.text)
        (text,) = [each for each in page.all("input") if each["name"] == "text"]
        self.assertEqual((text["title"], text["value"]), (HOSTILE, HOSTILE))

    def test_forms(self) -> None:
        """Every command has a form that posts to it."""
        page = self.page()
        self.assertEqual(
            page.all("form"),
            [
                {"method": "post", "action": f"stream/{name}"}
                for name in ("build", "say")
            ],
        )
        self.assertEqual([each["type"] for each in page.all("button")], ["submit"] * 2)

    def test_fields(self) -> None:
        """Every parameter has a field of its kind, with limits and default."""
        fields = {each["name"]: each for each in self.page().all("input", "select")}
        self.assertEqual(set(fields), set(BUILD.params))
        jobs = {"type": "number", "step": "1", "min": "1", "max": "8", "value": "2"}
        self.assertLessEqual(jobs.items(), fields["jobs"].items())
        ratio = {"type": "number", "step": "any", "min": "0.5", "value": "0.75"}
        self.assertLessEqual(ratio.items(), fields["ratio"].items())
        self.assertNotIn("max", fields["ratio"])
        self.assertEqual(fields["file"]["type"], "text")
        required = {name for name, each in fields.items() if "required" in each}
        self.assertEqual(required, {"file"})

    def test_choices(self) -> None:
        """Choices and booleans are lists, with the default chosen."""
        options = self.page().all("option")
        values = [each["value"] for each in options]
        self.assertEqual(values, ["all", HOSTILE, "true", "false"])
        chosen = [each["value"] for each in options if "selected" in each]
        self.assertEqual(chosen, [HOSTILE, "true"])

    def test_no_default_chosen(self) -> None:
        """Without a default, the form preselects nothing."""
        flag = Boolean(name="flag")
        command = evolve(BUILD, params={"flag": flag})
        self.serve(Config(commands={"build": command}))
        page = self.page()
        self.assertIn("required", page.all("select")[0])
        self.assertFalse([each for each in page.all("option") if "selected" in each])

    def test_who_prefers_it(self) -> None:
        """A client that does not prefer HTML gets JSON."""
        for accept in ("*/*", "application/json, text/html;q=0.9"):
            reply = self.ask("GET", "/", headers={"Accept": accept})
            self.assertEqual(reply.headers["content-type"], "application/json")
            self.assertEqual(reply.headers["vary"], "Accept, Origin")
