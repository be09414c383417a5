"""The documents agree with the code, and their links work."""

import ast
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

from twisted.trial.unittest import SynchronousTestCase

from tests.support.documents import DOCS, DOCUMENTS, README_LINES
from tests.support.layers import MAY_IMPORT
from tests.support.programs import ROOT, needs

EXPLANATION = DOCS / "explanation"

#: Rooms that documents name paths in, without the package before them.
ROOMS = {room.partition(".")[0] for room in MAY_IMPORT}


def slug(heading: str) -> str:
    """The anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def anchors(path: Path) -> set[str]:
    text = re.sub(r"^ *```.*?^ *```$", "", path.read_text("utf-8"), flags=re.S | re.M)
    return {slug(each) for each in re.findall(r"^#+ (.*)$", text, re.M)}


class LinkTests(SynchronousTestCase):
    """Each link works."""

    def test_links(self) -> None:
        """Each link to a file of ours leads to it, and to a heading in it."""
        for path in (*DOCUMENTS, ROOT / "CHANGELOG.md"):
            text = path.read_text("utf-8")
            for target in re.findall(r'(?:\]\(|src=")([^)\s"]+)[)"]', text):
                if "://" in target:
                    continue
                name, _, anchor = unquote(target).partition("#")
                found = (path.parent / name).resolve() if name else path
                where = f"{path.relative_to(ROOT)}: {target}"
                self.assertTrue(found.exists(), where)
                if anchor:
                    self.assertIn(anchor, anchors(found), where)

    def test_index(self) -> None:
        """The index leads to every document."""
        index = (DOCS / "README.md").read_text("utf-8")
        for path in DOCS.rglob("*.md"):
            if path != DOCS / "README.md":
                self.assertIn(f"]({path.relative_to(DOCS).as_posix()}", index)


class ReadmeTests(SynchronousTestCase):
    """The README is short, and its two commands are found where they are tried."""

    def setUp(self) -> None:
        self.text = (ROOT / "README.md").read_text("utf-8")

    def test_short(self) -> None:
        """The document is short enough for one reading."""
        self.assertLessEqual(len(self.text.splitlines()), README_LINES)

    def test_commands(self) -> None:
        """C{.ci/run} and C{tests/packages.sh} each find the command that they run."""
        for name in (".ci/run", "tests/packages.sh"):
            script = (ROOT / name).read_text("utf-8")
            asked = re.search(r"sed -n '(s/\S.*/p)'", script)
            assert asked is not None, name
            sed = subprocess.run(
                ["sed", "-n", asked[1], str(ROOT / "README.md")],
                check=True,
                capture_output=True,
                text=True,
            )
            self.assertEqual(len(sed.stdout.splitlines()), 1, name)

    def test_not_the_index(self) -> None:
        """No file tells the reader to install another project's package."""
        wrong = re.compile(r"pip install (-\S+ )*shellstream\b(?!-)")
        folders = ("shellstream", "docs", "deploy", "tests")
        files = [each for name in folders for each in (ROOT / name).rglob("*")]
        for path in (*files, *DOCUMENTS, ROOT / "CHANGELOG.md"):
            if path.suffix in (".md", ".py", ".service", ".sh", ".1"):
                self.assertIsNone(wrong.search(path.read_text("utf-8")), str(path))


class GeneratedTests(SynchronousTestCase):
    """The generated pages are up to date."""

    def test_current(self) -> None:
        """C{docs/generate.py} would write nothing else."""
        check = subprocess.run(
            [sys.executable, str(DOCS / "generate.py"), "--check"],
            capture_output=True,
            text=True,
        )
        self.assertEqual((check.returncode, check.stdout), (0, ""), check.stderr)


class ManualTests(SynchronousTestCase):
    """The manual pages are such as man(1) shows."""

    skip = needs("groff")

    def test_clean(self) -> None:
        """groff has no warning about any of them, and they have no Markdown."""
        pages = sorted((ROOT / "deploy" / "man").iterdir())
        self.assertEqual(len(pages), 3)
        for page in pages:
            groff = subprocess.run(
                ["groff", "-man", "-ww", "-Kutf8", "-Tutf8", str(page)],
                check=True,
                capture_output=True,
                text=True,
            )
            self.assertEqual(groff.stderr, "", page.name)
            self.assertNotRegex(groff.stdout, r"`|\]\(|\*\*", page.name)

    def test_links(self) -> None:
        """Where a page of the reference links to another or a file, they name it."""
        for page, expected in (
            ("shellstream.toml.5", "The example (/usr/share/doc/shellstream/examples/"),
            ("shellstream.toml.5", "(/usr/share/shellstream/shellstream.schema.json)"),
            ("shellstreamd.8", "the user has none: shellstream.toml(5)"),
        ):
            text = (ROOT / "deploy" / "man" / page).read_text("utf-8")
            self.assertIn(expected, text)


class ArchitectureTests(SynchronousTestCase):
    """The page on architecture draws the house as it stands."""

    def setUp(self) -> None:
        self.text = (EXPLANATION / "architecture.md").read_text("utf-8")

    def test_rooms(self) -> None:
        """Its table of rooms is the one that is checked."""
        rows = re.findall(r"^\| `([\w.]+)` \| .+ \|(.*)\|$", self.text, re.M)
        found = {room: allowed.strip("` ") for room, allowed in rows}
        self.assertEqual(found, MAY_IMPORT)

    def test_files(self) -> None:
        """Each file that a document names exists."""
        for path in DOCUMENTS:
            for name in re.findall(r"`([\w./-]+/[\w.-]+)`", path.read_text("utf-8")):
                first = name.partition("/")[0]
                where = ROOT / "shellstream" if first in ROOMS else ROOT
                if first in {*ROOMS, "shellstream", "tests", "docs", "deploy"}:
                    self.assertTrue((where / name).exists(), f"{path}: {name}")


class SecurityTests(SynchronousTestCase):
    """The tests that the page on security names exist."""

    def setUp(self) -> None:
        self.text = (EXPLANATION / "security.md").read_text("utf-8")

    def test_names(self) -> None:
        """Each name in brackets is that of a test."""
        names = {
            name.strip()
            for group in re.findall(r"\[([a-z_]+\.[^]]*)\](?!\()", self.text)
            for name in group.split(",")
        }
        self.assertGreater(len(names), 50)
        for name in names:
            module, case, method = name.rsplit(".", 2)
            path = ROOT.joinpath("tests", *module.split(".")).with_suffix(".py")
            tests = {
                f"{each.name}.{test.name}"
                for each in ast.parse(path.read_text("utf-8")).body
                if isinstance(each, ast.ClassDef)
                for test in each.body
                if isinstance(test, ast.FunctionDef | ast.AsyncFunctionDef)
            }
            self.assertIn(f"{case}.{method}", tests, name)

    def test_promises(self) -> None:
        """Each thing that the page says cannot be done names a test."""
        items = re.split(r"\n(?=- |#|\n)", self.text)
        promises = [each for each in items if each.startswith("- Cannot ")]
        self.assertGreater(len(promises), 10)
        for each in promises:
            self.assertRegex(each, r"\.test_\w+\]\s*$")
