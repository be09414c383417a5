"""Tests for the page at C{/}: its forms, and the runs beside them."""

import re
from typing import Any
from urllib.parse import urlencode, urljoin

from attrs import evolve

from shellstream.config.command import Command
from shellstream.config.loader import Config
from shellstream.config.parameters import Boolean, Integer, Number, Path, String
from shellstream.web.console.frame import POLICY
from shellstream.web.resources.index import MAX_LISTED
from shellstream.web.resources.run_list import PAGE
from tests.support.fakes import ECHO, SAY
from tests.support.http import Connection, Reply
from tests.support.pages import BROWSER, Page
from tests.support.web import FORM, RunsTestCase

HOSTILE = "<script>alert(1)</script>\"'&"

BUILD = Command(
    name="build",
    description=HOSTILE,
    heading="Work",
    argv=("/opt/secret/make", "{target}{jobs}{ratio}{fast}{file}{text}{day}"),
    params={
        "target": String(name="target", choices=("all", HOSTILE), default=HOSTILE),
        "jobs": Integer(name="jobs", min=1, max=8, default="2"),
        "ratio": Number(name="ratio", min=0.5, default="0.75"),
        "fast": Boolean(name="fast", default="true"),
        "file": Path(name="file", roots=("/srv/secret",)),
        "text": String(
            name="text",
            description=HOSTILE,
            pattern=re.compile("[^x]*"),
            max_length=40,
            default=HOSTILE,
        ),
        "day": String(name="day", choices=tuple("abcdefg"), default="c"),
    },
)
DROP = Command(
    name="drop",
    shell="cat",
    confirm="All is lost then. Go on?",
    stdin=True,
    tty=True,
    params={
        "note": String(name="note", default="a\nb"),
        "password": String(name="password", secret=True),
    },
)


class StartPageTestCase(RunsTestCase):
    """A daemon with commands of all kinds."""

    config = Config(
        commands={"build": BUILD, "say": SAY, "drop": DROP, "echo": ECHO},
        default="say",
    )

    def page(self, path: str = "/") -> Page:
        """The page as a browser reads it; it shows no path of this machine."""
        page = self.read(Connection(self.site), "GET", path)
        self.assertNotIn("/opt/secret", self.source)
        return page

    def read(
        self, connection: Connection, method: str, path: str, body: bytes | None = None
    ) -> Page:
        headers = {"Accept": BROWSER, "Content-Type": FORM}
        connection.request(method, path, body, headers)
        self.clock.advance(0)
        self.got = connection.reply()
        self.assertTrue(self.got.whole)
        self.assertEqual(self.got.headers["content-type"], "text/html; charset=utf-8")
        self.assertEqual(self.got.headers["content-security-policy"], POLICY)
        self.assertEqual(self.got.headers["cache-control"], "no-store")
        self.source = self.got.body.decode()
        self.assertTrue(self.source.startswith("<!DOCTYPE html>\n<html"))
        return Page(self.source)

    def fields(self, page: Page) -> dict[str, dict[str, Any]]:
        """The fields of the commands' forms."""
        found = page.all("input", "select", "textarea")
        return {
            each["name"] or "": each
            for each in found
            if "aria-describedby" in each or each.get("type") == "radio"
        }

    def send(self, command: str, **fields: str) -> Reply:
        """Send the form of a command, as a browser without scripts does."""
        headers = {"Accept": BROWSER, "Content-Type": FORM}
        connection = Connection(self.site)
        body = urlencode(fields).encode()
        connection.request("POST", f"/?start={command}", body, headers)
        self.clock.advance(0)
        return connection.reply()


class FormTests(StartPageTestCase):
    """Every command has a form that fits its parameters."""

    def test_escaped(self) -> None:
        """Text of the configuration is escaped everywhere."""
        page = self.page()
        self.assertNotIn("<script>", self.source)
        self.assertIn(("span", HOSTILE), page.text)
        field = self.fields(page)["text"]
        self.assertEqual(field["value"], HOSTILE)
        self.assertNotIn("style=", self.source)

    def test_forms(self) -> None:
        """
        A form starts its command; those with a common heading stand together, behind
        those that have none.
        """
        forms = [each for each in self.page().all("form") if "data-command" in each]
        self.assertEqual(
            [(each["method"], each["action"]) for each in forms],
            [("post", f"./?start={name}") for name in ("say", "drop", "echo", "build")],
        )
        echo = evolve(ECHO, heading="Work")
        commands = {"build": BUILD, "say": SAY, "echo": echo}
        self.serve(Config(commands=commands))
        page = self.page()
        forms = [each for each in page.all("form") if "data-command" in each]
        names = [each["data-command"] for each in forms]
        self.assertEqual(names, ["say", "build", "echo"])
        self.assertEqual([text for tag, text in page.text if tag == "h3"], ["Work"])

    def test_fields(self) -> None:
        """Every parameter has a field of its kind, with limits and default."""
        fields = self.fields(self.page())
        self.assertLessEqual(BUILD.params.keys() | DROP.params.keys(), fields.keys())
        jobs = {"type": "number", "step": "1", "min": "1", "max": "8", "value": "2"}
        self.assertLessEqual(jobs.items(), fields["jobs"].items())
        ratio = {"type": "number", "step": "any", "min": "0.5", "value": "0.75"}
        self.assertLessEqual(ratio.items(), fields["ratio"].items())
        self.assertNotIn("max", fields["ratio"])
        self.assertEqual(fields["file"]["type"], "text")
        self.assertEqual(fields["fast"]["type"], "checkbox")
        self.assertIn("checked", fields["fast"])
        self.assertEqual(fields["target"]["type"], "radio")
        self.assertEqual(fields["password"]["type"], "password")
        required = {name for name, each in fields.items() if "required" in each}
        self.assertLessEqual({"file", "password"}, required)
        self.assertNotIn("day", required)

    def test_choices(self) -> None:
        """Few choices are all shown, many are a list; the default is chosen."""
        page = self.page()
        radios = [each for each in page.all("input") if each.get("type") == "radio"]
        self.assertEqual([each["value"] for each in radios], ["all", HOSTILE])
        self.assertEqual(["checked" in each for each in radios], [False, True])
        options = [each for each in page.all("option") if "selected" in each]
        self.assertIn("c", [each["value"] for each in options])

    def test_help(self) -> None:
        """A field says what it takes, and points at what says it."""
        page = self.page()
        texts = {text for _, text in page.text}
        self.assertIn("Whole number from 1 to 8", texts)
        self.assertIn("Number from 0.5", texts)
        self.assertIn(f"{HOSTILE}. Has to match [^x]*. At most 40 characters", texts)
        there = {each["id"] for each in page.all("p", "div") if "id" in each}
        described = self.fields(page)["text"]["aria-describedby"]
        self.assertEqual(described, "build-text-help build-text-error")
        self.assertLessEqual({*described.split()}, there)

    def test_default_chosen(self) -> None:
        """Without a default nothing is chosen."""
        pick = String(name="pick", choices=tuple("abcdefg"))
        self.serve(Config(commands={"x": evolve(ECHO, params={"pick": pick})}))
        page = self.page()
        (select,) = [each for each in page.all("select") if each["name"] == "pick"]
        self.assertIn("required", select)
        values = [each["value"] for each in page.all("option")]
        self.assertIn("", values)

    def test_lines(self) -> None:
        """A value of several lines keeps its lines."""
        page = self.page()
        self.assertIn(("textarea", "\na\nb"), page.text)
        fields = {"note": "a\r\nb", "password": "p", "is-confirmed": "true"}
        self.assertEqual(self.send("drop", **fields).status, 303)
        self.assertEqual(self.spawn.started[-1].invocation.env["note"], "a\nb")


class ManyTests(StartPageTestCase):
    """Hundreds of commands are a list of links, which can be searched."""

    def setUp(self) -> None:
        super().setUp()
        every = [f"command-{number:03}" for number in range(MAX_LISTED + 50)]
        self.serve(Config(commands={n: evolve(BUILD, name=n) for n in every}))

    def listed(self, path: str) -> list[str]:
        page = self.page(path)
        self.opened = [each["id"] for each in page.all("details")]
        return re.findall(r'class="name">(command-\d+)<', self.source.split("<ol")[0])

    def test_bounded(self) -> None:
        """The page has no forms but the one that is open, and a part of the list."""
        self.assertEqual(len(self.listed("/")), MAX_LISTED)
        self.assertEqual(self.opened, [])
        self.assertIn("50 more commands; search for them.", self.source)
        self.assertLess(len(self.source), 400 * MAX_LISTED)
        for name in ("command-003", "command-240"):
            self.assertIn(name, self.listed(f"/?form={name}"))
            self.assertEqual(self.opened, [f"command-{name}"])
        self.assertEqual(len(self.listed("/?form=nothing")), MAX_LISTED)

    def test_search(self) -> None:
        """Names, headings and descriptions are searched."""
        tens = [f"command-24{number}" for number in range(10)]
        self.assertEqual(self.listed("/?find=ND-24"), tens)
        self.assertEqual(len(self.listed("/?find=work")), MAX_LISTED)
        self.assertEqual(self.listed("/?find=other"), [])
        self.assertIn("No command has this text.", self.source)

    def test_refused(self) -> None:
        """The form that was refused is there."""
        body = b"jobs=9"
        page = self.read(Connection(self.site), "POST", "/?start=command-240", body)
        self.assertEqual(self.got.status, 400)
        (opened,) = page.all("details")
        self.assertEqual(opened["id"], "command-command-240")


class StartTests(StartPageTestCase):
    """A form starts a run, or comes back with what is wrong."""

    def test_started(self) -> None:
        """A run is kept without viewers, and its page follows."""
        reply = self.send("build", file="/srv/secret/a", jobs="3")
        self.assertEqual(reply.status, 303)
        path = urljoin("/", reply.headers["location"])
        run = self.get(path)
        self.assertEqual(run["command"], "build")
        self.assertEqual(run["on_disconnect"], "keep")
        self.assertEqual(run["params"]["jobs"], "3")
        # A box that is not ticked sends nothing.
        self.assertEqual(run["params"]["fast"], "false")

    def test_refused(self) -> None:
        """What is wrong stands beside each field; all other values are kept."""
        fields = urlencode({"file": "", "jobs": "9", "text": "kept"}).encode()
        page = self.read(Connection(self.site), "POST", "/?start=build", fields)
        self.assertEqual(self.got.status, 400)
        self.assertEqual(self.spawn.started, [])
        (opened,) = [each for each in page.all("details") if "open" in each]
        self.assertEqual(opened["id"], "command-build")
        errors = re.findall(
            r'id="build-(\w+)-error" class="error">([^<]+)', self.source
        )
        self.assertEqual(
            dict(errors),
            {"file": "is required", "jobs": "must be at most 8"},
        )
        by_name = self.fields(page)
        self.assertEqual(by_name["jobs"]["value"], "9")
        self.assertEqual(by_name["jobs"]["aria-invalid"], "true")
        self.assertEqual(by_name["text"]["value"], "kept")
        self.assertNotIn("checked", by_name["fast"])

    def test_secret(self) -> None:
        """A secret is not sent back."""
        fields = {"note": "x" * 5000, "password": "hunter2", "is-confirmed": "true"}
        body = urlencode(fields).encode()
        self.read(Connection(self.site), "POST", "/?start=drop", body)
        self.assertEqual(self.got.status, 400)
        self.assertNotIn("hunter2", self.source)

    def test_question(self) -> None:
        """A command with a question starts only with its answer, if all else fits."""
        body = urlencode({"note": "x"}).encode()
        self.read(Connection(self.site), "POST", "/?start=drop", body)
        self.assertNotIn('role="alert">All is lost', self.source)
        body = urlencode({"note": "x", "password": "p"}).encode()
        self.read(Connection(self.site), "POST", "/?start=drop", body)
        self.assertEqual(self.got.status, 400)
        self.assertEqual(self.spawn.started, [])
        self.assertIn('role="alert">All is lost then. Go on?<', self.source)

    def test_programs(self) -> None:
        """A program that sends a form wrongly gets a problem document."""
        reply = self.ask("POST", "/?start=build", b"jobs=9", {"Content-Type": FORM})
        self.assertEqual(reply.status, 400)
        self.assertEqual(reply.headers["content-type"], "application/problem+json")
        self.assertEqual(self.ask("POST", "/?start=nothing", b"").status, 404)

    def test_again(self) -> None:
        """The form of a run that is repeated has its parameters, but no secrets."""
        run = self.send("build", file="/srv/secret/a", text="as before").headers[
            "location"
        ]
        page = self.page(f"/?again={run.rpartition('/')[2]}")
        (opened,) = [each for each in page.all("details") if "open" in each]
        self.assertEqual(opened["id"], "command-build")
        by_name = self.fields(page)
        self.assertEqual(by_name["text"]["value"], "as before")
        fields = {"note": "x", "password": "p", "is-confirmed": "true"}
        run = self.send("drop", **fields).headers["location"]
        page = self.page(f"/?again={run.rpartition('/')[2]}")
        self.assertNotIn("***", self.source.split("<ol")[0])
        self.page("/?again=unknown")
        self.assertEqual(self.got.status, 200)


class RunsBesideTests(StartPageTestCase):
    """The page shows the runs, newest first, in pages."""

    def rows(self, path: str = "/") -> list[str]:
        """The ids of the runs on the page."""
        page = self.page(path)
        self.older = next(
            (each for each in page.all("a") if each.get("id") == "older"), {}
        )
        found = [each.get("id") or "" for each in page.all("li")]
        return [each.removeprefix("run-") for each in found if each]

    def test_row(self) -> None:
        """A row leads to its run, and shows state, parameters and owner."""
        self.send("build", file="/srv/secret/a", text=HOSTILE)
        path = "/?text=" + urlencode({"": "as"}).strip("=")
        self.assertEqual(self.rows(path), [])
        self.begin().exit(3)
        (row,) = self.rows("/?command=say")
        self.assertIn(f'href="./runs/{row}"'.replace("./", ""), self.source)
        self.assertIn("Failed with exit code 3", self.source)
        self.assertIn('class="badge failed"', self.source)

    def test_choice(self) -> None:
        """The query of the page chooses runs by state, command and text."""
        ended, failed = self.begin(), self.begin()
        ended.exit()
        failed.exit(1)
        running = self.begin()
        ids = [each.run.id for each in (running, failed, ended)]
        self.assertEqual(self.rows(), ids)
        self.assertEqual(self.rows("/?show=running"), ids[:1])
        self.assertEqual(self.rows("/?show=failure"), ids[1:2])
        self.assertEqual(self.rows("/?show=success"), ids[2:])
        self.assertEqual(self.rows("/?command=echo"), [])
        self.assertEqual(self.rows("/?text=SAY"), ids)
        self.assertEqual(self.rows("/?text=nothing"), [])
        self.assertEqual(self.rows("/?show=x&after=y"), ids)
        self.assertEqual(self.rows("/?text=x%3DAB"), [])
        self.send("echo", x="ab")
        self.assertEqual(len(self.rows("/?text=x%3DAB")), 1)

    def test_pages(self) -> None:
        """A link leads to the runs before these, down to the oldest."""
        ids: list[str] = []
        for _ in range(PAGE + 3):
            started = self.begin()
            started.exit()
            ids.insert(0, started.run.id)
        self.assertEqual(self.rows("/?command=say"), ids[:PAGE])
        self.assertTrue(self.older["href"].startswith("?command=say&after="))
        path = urljoin("/", self.older["href"]).partition("#")[0]
        self.assertEqual(self.rows(path), ids[PAGE:])
        self.assertIn("hidden", self.older)

    def test_position(self) -> None:
        """The page names the last event that its rows show: the list goes on there."""
        page = self.page()
        (section,) = [e for e in page.all("section") if "data-events" in e]
        position = section["data-events"]
        run = self.begin().run.id
        reply = Connection(self.site).ask("GET", f"/events?lastEventId={position}")
        self.assertIn(run.encode(), reply.body)
        self.assertNotIn(b"gap", reply.body)
