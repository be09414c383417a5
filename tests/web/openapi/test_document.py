"""Tests for L{shellstream.web.openapi.document}: it describes the real responses."""

import json
import re
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Any

from attrs import evolve
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from shellstream.config.command import Command
from shellstream.config.http_limits import HttpLimits
from shellstream.config.loader import Config
from shellstream.config.parameters import Boolean, Integer, Number, Path, String
from shellstream.model.errors import CannotStart, ShellstreamError
from shellstream.model.events import OnDisconnect, Reason, State, Stream
from shellstream.model.limits import Limits
from shellstream.model.run_input import MAX_SIDE, TERM, Tty
from shellstream.output.formats import FORMATS
from shellstream.output.viewer import PING_INTERVAL
from shellstream.runs.authorized_runs import AuthorizedRuns
from shellstream.security.authorization import ANONYMOUS_CALLER, Action
from shellstream.web.resources.base import Resource
from shellstream.web.resources.query import MAX_OFFSET
from shellstream.web.resources.run_list import MAX_PAGE, PAGE
from shellstream.web.resources.run_output import MAX_TAIL, TRAILERS
from shellstream.web.resources.tick_stream import (
    COUNT,
    INTERVAL,
    MAX_COUNT,
    MAX_IDLE,
    MAX_INTERVAL,
)
from shellstream.web.server.request import Request, RequestContext
from tests.support.authentication import AuthenticationTestCase, tree
from tests.support.fakes import HEAR
from tests.support.http import Connection, FakePolicy, Reply, WebTestCase
from tests.support.runs_contract import UNKNOWN

EVERY = Command(
    name="every-kind.of",
    argv=("x", "{text}{choice}{count}{ratio}{fast}{file}{format}"),
    params={
        "text": String(name="text", description="Some text", max_length=9),
        "choice": String(name="choice", choices=("a", "b"), default="a"),
        "count": Integer(name="count", min=1, max=8, default="2"),
        "ratio": Number(name="ratio", min=0.5, default="0.75"),
        "fast": Boolean(name="fast", default="true"),
        "file": Path(name="file", roots=("/srv",), default="x"),
        "format": String(name="format", default="iso"),
    },
)
SAY = Command(name="say", argv=("say",), get=True)
CONFIG = Config(commands={"every-kind.of": EVERY, "say": SAY, "hear": HEAR})
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")

#: What stands for whatever a client may name.
UNKNOWN_AS = {"{id}": UNKNOWN}


class OpenApiTestCase(WebTestCase):
    """A daemon with commands of all kinds, and its document."""

    config = evolve(CONFIG, default="say")

    def serve(self, config: Config) -> None:
        super().serve(config)
        self._document: dict[str, Any] | None = None

    def document(self) -> dict[str, Any]:
        """The document; it is fetched once for each configuration."""
        if self._document is None:
            self._document = self._fetch()
        return self._document

    def _fetch(self) -> dict[str, Any]:
        reply = self.once("GET", "/openapi.json")
        self.assertEqual((reply.status, reply.whole), (200, True))
        self.assertEqual(reply.headers["content-type"], "application/json")
        found: dict[str, Any] = json.loads(reply.body)
        return found

    def once(self, method: str, path: str, *asked: Any) -> Reply:
        """The part of an answer that comes at once; then the client leaves."""
        connection = Connection(self.site)
        reply = connection.ask(method, path, *asked)
        connection.lose()
        return reply

    def operations(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Path, method and operation of everything in the document."""
        for path, methods in self.document()["paths"].items():
            for method, operation in methods.items():
                yield path, method.upper(), operation

    def resolve(self, item: dict[str, Any]) -> dict[str, Any]:
        """The object that a reference refers to."""
        found: Any = self.document()
        for name in item.get("$ref", "").split("/")[1:]:
            found = found[name]
        return found if "$ref" in item else item

    def assert_fits(self, value: object, schema: str) -> None:
        """A value is valid by a schema of the document."""
        wanted = {**self.document(), "$ref": f"#/components/schemas/{schema}"}
        Draft202012Validator.check_schema(wanted)
        errors = list(Draft202012Validator(wanted).iter_errors(value))
        self.assertEqual(errors, [], f"{value}: {schema}")

    def fits(self, value: object, schema: str) -> bool:
        wanted = {**self.document(), "$ref": f"#/components/schemas/{schema}"}
        return bool(Draft202012Validator(wanted).is_valid(value))


class ValidTests(OpenApiTestCase):
    """The document is valid OpenAPI 3.1."""

    def test_valid(self) -> None:
        """
        The document is valid with many commands, with no commands and with no default.
        """
        for config in (self.config, CONFIG, Config(commands={})):
            self.serve(config)
            found = self.document()
            self.assertTrue(found["openapi"].startswith("3.1."))
            errors = OpenAPIV31SpecValidator(found).iter_errors()
            self.assertEqual([str(each) for each in errors], [])

    def test_references(self) -> None:
        """Every reference leads somewhere, and every component is used."""
        document = self.document()
        text = json.dumps(document)
        referred = set(re.findall(r'"\$ref": "#/components/([^"]+)"', text))
        there = {
            f"{kind}/{name}"
            for kind in ("schemas", "parameters", "headers", "responses")
            for name in document["components"][kind]
        }
        # An existing operation never answers 405.
        self.assertEqual(there - referred, {"responses/405"})
        self.assertEqual(referred - there, set())

    def test_names(self) -> None:
        """No two operations are called the same."""
        names = [each["operationId"] for _, _, each in self.operations()]
        self.assertEqual(len(names), len(set(names)))


class TreeTests(OpenApiTestCase):
    """The document describes exactly the resources."""

    def answered(self) -> dict[str, set[str]]:
        """Every path of the resources, and the methods that they answer."""
        request = Request(Connection(self.site).channel)
        runs = AuthorizedRuns(self.registry, ANONYMOUS_CALLER, self.noted.append)
        request.context = RequestContext(runs)
        found = dict(tree(self.access_control.tree))
        for path, resource in tuple(found.items()):
            for name in self.below(path):
                made = resource.getChild(UNKNOWN_AS.get(name, name).encode(), request)
                found.update(tree(made, f"{path}/{name}"))
            makes = type(resource).getChild is not Resource.getChild
            self.assertEqual(makes, bool(self.below(path)), f"what is below {path}?")
        return {
            path: set(found[path].allowed(request))
            for path in found
            if not path.startswith("/assets")  # the page's own affair
        }

    def below(self, path: str) -> list[str]:
        """The names of children that are created on demand."""
        commands = list(self.config.commands)
        return {"/stream": commands, "/commands": commands, "/runs": ["{id}"]}.get(
            path, []
        )

    def told(self) -> dict[str, set[str]]:
        """Every path of the document, and its methods."""
        found: dict[str, set[str]] = {}
        for path, method, _ in self.operations():
            names = self.config.commands if "{name}" in path else [""]
            for name in names:
                found.setdefault(path.replace("{name}", name), set()).add(method)
        return found

    def test_same(self) -> None:
        """The document has every path and method of the resources, and no other."""
        self.assertEqual(self.told(), self.answered())

    def test_no_default(self) -> None:
        """Without a default command there is no C{/stream}."""
        self.serve(CONFIG)
        self.assertNotIn("/stream", self.told())
        self.assertEqual(self.once("GET", "/stream").status, 404)

    def test_methods(self) -> None:
        """A path answers 405 to every method that is not in the document."""
        for path, methods in self.told().items():
            for method in METHODS:
                reply = self.once(method, path.replace("{id}", UNKNOWN), b"")
                refused = method not in {*methods, "OPTIONS"}
                self.assertEqual(reply.status == 405, refused, path)
                if method == "OPTIONS":
                    self.assertEqual((reply.status, reply.body), (204, b""), path)
                if refused or method == "OPTIONS":
                    allowed = set(reply.headers["allow"].split(", "))
                    self.assertEqual(allowed, {*methods, "OPTIONS"})

    def test_queries(self) -> None:
        """The parameters of a query are those that the daemon accepts."""
        run_id = self.begin().run.id
        seen = 0
        for path, method, operation in self.operations():
            given = map(self.resolve, operation.get("parameters", []))
            told = {each["name"] for each in given if each["in"] == "query"}
            url = f"{path.replace('{id}', run_id).replace('{name}', 'say')}?nonsense=1"
            if path.startswith("/stream"):
                continue  # those of the command: see below
            reply = self.once("GET" if method == "HEAD" else method, url, b"")
            there = re.search(rb"; there are ([^\"]*)\"", reply.body)
            if there is not None:
                self.assertEqual(reply.status, 400)
                names = set(there[1].decode().replace("none", "").split(", ")) - {""}
                self.assertEqual(names, told, path)
                seen += 1
            else:
                self.assertEqual(told, set(), path)
        self.assertGreater(seen, 4)

    def test_refusals(self) -> None:
        """The document has the status of every error."""
        told = self.document()["components"]["responses"]
        kinds = [ShellstreamError]
        for kind in kinds:
            kinds += kind.__subclasses__()
            self.assertIn(str(kind.status), told)

    def test_headers(self) -> None:
        """A problem has all of its required headers."""
        cases = (
            ("GET", "/runs/x", 404),
            ("PUT", "/runs", 405),
            ("GET", "/stream?format=xml", 406),
            ("POST", f"/runs/{UNKNOWN}/cancel", 404),
        )
        for method, path, status in cases:
            reply = self.once(method, path, b"")
            self.assertEqual(reply.status, status)
            self.assert_as_told(reply)
        run_id = self.begin("hear").run.id
        reply = self.once("POST", f"/runs/{run_id}/stdin", b"x")
        self.assertEqual(reply.status, 409)
        self.assert_as_told(reply)
        self.registry.supervisor.stop()
        reply = self.once("POST", "/runs", b'{"command": "say"}')
        self.assertEqual(reply.status, 503)
        self.assert_as_told(reply)

    def assert_as_told(self, reply: Reply) -> None:
        """A problem is as the document describes it."""
        told = self.document()["components"]["responses"][str(reply.status)]
        self.assertIn(reply.headers["content-type"], told["content"])
        self.assert_fits(json.loads(reply.body), "Problem")
        for name, header in told.get("headers", {}).items():
            if self.resolve(header).get("required"):
                self.assertIn(name.lower(), reply.headers)


class ValueTests(OpenApiTestCase):
    """The limits, names and formats of the document are those in force."""

    def parameters(self, path: str) -> dict[str, dict[str, Any]]:
        """The schemas of the parameters of GET, by name."""
        operation = self.document()["paths"][path]["get"]
        found = map(self.resolve, operation["parameters"])
        return {each["name"]: each["schema"] for each in found}

    def values(self, kind: Iterable[Enum]) -> dict[str, list[str]]:
        return {"enum": [each.value for each in kind]}

    def test_parameters(self) -> None:
        """A parameter has the range that the daemon checks."""
        runs = self.parameters("/runs")
        limit = {"minimum": 1, "maximum": MAX_PAGE, "default": PAGE}
        self.assertEqual(runs["limit"], {"type": "integer", **limit})
        self.assertEqual(runs["state"], self.values(State))
        output = self.parameters("/runs/{id}/output")
        for name, most in (("offset", MAX_OFFSET), ("tail", MAX_TAIL)):
            expected = {"type": "integer", "minimum": 0, "maximum": most}
            self.assertEqual(output[name], expected)
        self.assertEqual(output["stream"], self.values(Stream))
        self.assertEqual(output["format"], {"enum": [each.name for each in FORMATS]})
        head = self.document()["paths"]["/runs/{id}/output"]["head"]["parameters"]
        told = {each["name"]: each["schema"] for each in map(self.resolve, head)}
        self.assertEqual({**output, **told}, output)
        doctor = self.parameters("/doctor")
        for name, low, high, default in (
            ("count", 1, MAX_COUNT, COUNT),
            ("interval", 0, MAX_INTERVAL, INTERVAL),
            ("idle", 0, MAX_IDLE, 0),
        ):
            found = {**doctor[name]}
            del found["type"]
            self.assertEqual(
                found, {"minimum": low, "maximum": high, "default": default}
            )

    def test_input_size(self) -> None:
        """The most input in one request is the one of the configuration."""
        self.serve(evolve(self.config, http=HttpLimits(input_size=4321)))
        summary = self.document()["paths"]["/runs/{id}/stdin"]["post"]["summary"]
        self.assertIn("4321 bytes", summary)

    def test_schemas(self) -> None:
        """An enumeration has all of its values, and a terminal its limits."""
        schemas = self.document()["components"]["schemas"]
        run, end = schemas["Run"]["properties"], schemas["Record"]["anyOf"][-1]
        self.assertEqual(run["state"], self.values(State))
        self.assertEqual(run["on_disconnect"], self.values(OnDisconnect))
        order = schemas["Order"]["properties"]
        self.assertEqual(order["on_disconnect"], self.values(OnDisconnect))
        ended = end["properties"]
        self.assertEqual(ended["state"], self.values(s for s in State if s.ended))
        for each in (run, ended):
            self.assertEqual(each["reason"]["anyOf"][0], self.values(Reason))
        for piece in schemas["Record"]["anyOf"][:2]:
            self.assertEqual(piece["properties"]["stream"], self.values(Stream))
        terminal, size = schemas["Tty"]["properties"], schemas["Size"]["properties"]
        self.assertEqual(run["tty"]["anyOf"][0]["properties"], terminal)
        self.assertEqual(terminal, {**size, "term": terminal["term"]})
        for name, default in (("rows", Tty().rows), ("columns", Tty().columns)):
            side = {"minimum": 1, "maximum": MAX_SIDE, "default": default}
            self.assertEqual(size[name], {"type": "integer", **side})
        self.assertEqual(terminal["term"]["pattern"], f"^{TERM}$")
        self.assertEqual(terminal["term"]["default"], Tty().term)
        for name in ("TERM", "SIGTERM", "WINCH", "RTMIN+1", "35"):
            self.assertTrue(self.fits({"signal": name}, "Signal"))
        self.assertFalse(self.fits({"signal": "term"}, "Signal"))

    def test_formats(self) -> None:
        """Output has every format; plain output has its trailers."""
        media_types = {each.media_type for each in FORMATS}
        for path in ("/stream/say", "/runs/{id}/output", "/doctor"):
            answer = self.document()["paths"][path]["get"]["responses"]["200"]
            self.assertEqual(set(answer["content"]), media_types, path)
            if path != "/doctor":
                self.assertLessEqual(set(TRAILERS), set(answer["headers"]), path)


class CallerTests(AuthenticationTestCase):
    """The document depends on the caller."""

    def told(self, token: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.by(token, path="/openapi.json").body)
        return found

    def test_commands(self) -> None:
        """The document has only the commands that the caller may run."""
        paths = set(self.told(self.tokens.make("root"))["paths"])
        some = set(self.told(self.tokens.make("some", commands=("s*",)))["paths"])
        self.assertEqual(paths - some, {"/stream/echo", "/stream/hear"})
        reading = frozenset({Action.READ})
        reader = set(self.told(self.tokens.make("reader", actions=reading))["paths"])
        self.assertEqual([each for each in reader if "stream" in each], [])

    def test_security(self) -> None:
        """
        The document says whether and how to authenticate, with the name of the cookie.
        """
        token = self.tokens.make("root")
        found = self.told(token)
        self.assertNotIn({}, found["security"])
        schemes = found["components"]["securitySchemes"]
        self.assertEqual(
            {*schemes}, {name for each in found["security"] for name in each}
        )
        self.assertEqual(schemes["session"]["name"], "shellstream")
        self.authenticator.policy = FakePolicy()
        self.assertIn({}, self.told(token)["security"])

    def test_public(self) -> None:
        """Only operations without security are answered without a credential."""
        for path, methods in self.told(self.tokens.make("root"))["paths"].items():
            if "{" in path:
                continue
            for method, operation in methods.items():
                reply = Connection(self.site).ask(method.upper(), path, b"")
                asked = reply.status == 401 and b"this needs a token" in reply.body
                if method != "head":
                    self.assertEqual(asked, operation.get("security") != [], path)


class CommandTests(OpenApiTestCase):
    """The document has every command, with its parameters."""

    def given(self, path: str, method: str) -> dict[str, dict[str, Any]]:
        """The parameters of the query, by name."""
        operation = self.document()["paths"][path][method]
        found = map(self.resolve, operation.get("parameters", []))
        return {each["name"]: each for each in found if each["in"] == "query"}

    def test_body(self) -> None:
        """A body is a form or JSON, with the parameters of C{/commands}."""
        path = "/stream/every-kind.of"
        body = self.document()["paths"][path]["post"]["requestBody"]
        self.assertIs(body["required"], True)
        shown = json.loads(self.once("GET", "/commands/every-kind.of").body)
        shown["parameters"].pop("$schema")
        kinds = {"application/x-www-form-urlencoded", "application/json"}
        self.assertEqual(set(body["content"]), kinds)
        for each in body["content"].values():
            self.assertEqual(self.resolve(each["schema"]), shown["parameters"])

    def test_query(self) -> None:
        """GET has them in the query; those without a default are required."""
        self.serve(Config(commands={"x": evolve(EVERY, name="x", get=True)}))
        given = self.given("/stream/x", "get")
        for name, each in EVERY.params.items():
            schema = json.loads(json.dumps(each.schema()))
            self.assertEqual(given[name]["schema"], schema)
            self.assertEqual(given[name]["required"], name == "text")
        self.assertEqual(set(given), {*EVERY.params, "lastEventId"})

    def test_format(self) -> None:
        """C{format} selects the format, unless it is a parameter of the command."""
        ours = {"enum": ["plain", "sse", "ndjson", "frames"]}
        for method in ("get", "head", "post"):
            told = self.given("/stream/say", method)
            self.assertEqual(told["format"]["schema"], ours)
        self.assertNotIn("format", self.given("/stream/every-kind.of", "post"))
        named = String(name="lastEventId", default="x")
        say = evolve(SAY, argv=("say", "{lastEventId}"), params={"lastEventId": named})
        self.serve(Config(commands={"say": say}))
        self.assertNotIn("lastEventId", self.given("/stream/say", "post"))
        reply = self.once("POST", "/stream/say?lastEventId=1")
        self.assertEqual(reply.status, 200)

    def test_order(self) -> None:
        """The schema of C{POST /runs} accepts the same requests as the daemon."""
        cases: tuple[tuple[int, dict[str, Any]], ...] = (
            (201, {}),
            (201, {"command": None}),
            (201, {"command": "say", "params": {}, "on_disconnect": "cancel"}),
            (201, {"command": "hear", "stdin": True}),
            (201, {"command": "hear", "tty": {"rows": 9, "term": "vt100"}}),
            (201, {"command": "hear", "tty": True, "stdin": True}),
            (201, {"command": "every-kind.of", "params": {"text": "x", "count": 3}}),
            (400, {"command": "every-kind.of"}),
            (400, {"command": "every-kind.of", "params": {"text": "x", "count": 9}}),
            (400, {"command": "every-kind.of", "params": {"text": "x" * 10}}),
            (400, {"command": "say", "stdin": True}),
            (400, {"command": "say", "tty": {}}),
            (400, {"command": "say", "params": {"x": 1}}),
            (400, {"command": "hear", "tty": {"rows": 0}}),
            (400, {"command": "hear", "tty": {"rows": 9, "height": 9}}),
            (400, {"command": "say", "on_disconnect": "stay"}),
            (400, {"command": "say", "priority": 1}),
            (404, {"command": "sya"}),
        )
        for status, body in cases:
            reply = self.once("POST", "/runs", json.dumps(body).encode())
            self.assertEqual(reply.status, status, body)
            self.assertEqual(self.fits(body, "Order"), status == 201, body)

    def test_order_without_default(self) -> None:
        """Without a default command, an order must name one."""
        self.serve(CONFIG)
        self.assertFalse(self.fits({}, "Order"))
        self.assertTrue(self.fits({"command": "say"}, "Order"))


class AnswerTests(OpenApiTestCase):
    """Answers are valid by the schemas of the document."""

    def json(self, path: str) -> Any:
        reply = self.once("GET", path)
        self.assertEqual(reply.status, 200)
        return json.loads(reply.body)

    def test_fixed(self) -> None:
        """The index, the commands and the health are valid."""
        self.assert_fits(self.json("/"), "Index")
        self.assert_fits(self.json("/commands"), "Commands")
        self.assert_fits(self.json("/commands/say"), "Command")
        self.assert_fits(self.json("/healthz"), "Health")

    def test_all_told(self) -> None:
        """The document has every member of an answer."""
        document = self.document()["components"]["schemas"]
        run = self.begin().run
        for path, name in (
            ("/", "Index"),
            ("/commands", "Commands"),
            ("/commands/say", "Command"),
            ("/healthz", "Health"),
            ("/runs", "Runs"),
            (f"/runs/{run.id}", "Run"),
        ):
            self.assertEqual(set(self.json(path)), set(document[name]["properties"]))

    def test_runs(self) -> None:
        """A run is valid in every state."""
        body = json.dumps({"command": "hear", "tty": True}).encode()
        self.once("POST", "/runs", body)
        ended, killed, running = self.begin(), self.begin(), self.begin()
        ended.say(b"hello")
        ended.exit(3)
        killed.exit(None, 9)
        self.spawn.error = CannotStart("say", "no such program")
        self.assertEqual(self.once("POST", "/runs", b"{}").status, 201)
        for each in (ended, killed, running):
            self.assert_fits(self.json(f"/runs/{each.run.id}"), "Run")
        self.assert_fits(self.json("/runs"), "Runs")
        self.assertEqual(len(self.json("/runs")["runs"]), 5)

    def records(self, path: str) -> list[Any]:
        return [json.loads(line) for line in self.once("GET", path).body.splitlines()]

    def test_records(self) -> None:
        """Each line of ndjson is valid: output, gaps, pings and the end."""
        small = evolve(SAY, limits=Limits(retain=300))
        self.serve(Config(commands={"say": small}))
        started = self.begin()
        connection = Connection(self.site)
        path = f"/runs/{started.run.id}/output?format=ndjson"
        connection.ask("GET", path)
        started.say(b"hello")
        started.say(b"\xff")
        self.clock.advance(PING_INTERVAL)
        started.exit()
        seen = [json.loads(line) for line in connection.reply().body.splitlines()]
        kinds = [set(each) & {"text", "base64"} or each["type"] for each in seen]
        self.assertEqual(kinds, [{"text"}, {"base64"}, "ping", "end"])
        for each in seen:
            self.assert_fits(each, "Record")
        other = self.begin()
        for _ in range(9):
            other.say(b"x" * 100)
        other.exit(None, 15)
        seen = self.records(f"/runs/{other.run.id}/output?format=ndjson")
        self.assertEqual((seen[0]["type"], seen[-1]["type"]), ("gap", "end"))
        for each in seen:
            self.assert_fits(each, "Record")

    def events(self, body: bytes) -> list[dict[str, str]]:
        """The server-sent events that have data."""
        blocks = body.decode().split("\n\n")
        pairs = [[line.split(": ", 1) for line in each.splitlines()] for each in blocks]
        return [found for found in map(dict, pairs) if "data" in found]

    def test_output_events(self) -> None:
        """Each event of an output is valid, and so is its data."""
        started = self.begin()
        started.say(b"hello")
        started.exit()
        path = f"/runs/{started.run.id}/output?format=sse"
        seen = self.events(self.once("GET", path).body)
        self.assertEqual([each["event"] for each in seen], ["output", "end"])
        for each in seen:
            self.assert_fits({**each}, "OutputEvent")
            self.assert_fits(json.loads(each["data"]), "Record")

    def test_run_events(self) -> None:
        """Each event of a run is valid, and so is its data."""
        connection = Connection(self.site)
        connection.ask("GET", "/events", None, {"Last-Event-ID": "1@0"})
        self.begin().exit()
        seen = self.events(connection.reply().body)
        kinds = [each["event"] for each in seen]
        self.assertEqual(kinds, ["gap", "created", "started", "ended"])
        for each in seen:
            self.assert_fits({**each}, "RunEvent")
            self.assert_fits(json.loads(each["data"]), "News")
