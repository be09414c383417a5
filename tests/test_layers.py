"""
The rooms of the house: which folder may import which.

The pure rooms and modules can be loaded without Twisted, and only the modules that
wire things up see the reactor.
"""

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import shellstream
from tests.support.layers import MAY_IMPORT

PACKAGE = Path(shellstream.__file__).parent
ROOT = PACKAGE.parent  # trial runs in _trial_temp

#: What the library may import of itself, from the bottom up.
CLIENT = (
    {"errors", "events", "escape", "urls"},
    {"transport", "decode", "retry"},
    {"follow"},
    {"feed", "run_events"},
    {"directory"},
    {"api"},
    {"doctor", "demo"},
    {"cli"},
    {"commands"},
    {"__init__", "__main__"},
)
#: The most source files in a folder, and levels of folders below the package.
MOST_FILES, MOST_LEVELS = 17, 2

WITHOUT_TWISTED = {
    *("model", "security", "config"),
    *("output.formats", "output.json_records", "output.log", "output.negotiation"),
    *("output.utf8", "process.elf", "storage.ring", "storage.ring_format"),
    "storage.ring_recovery",
}
NEED_TWISTED = {"security.audit_log"}  # a clock
SEE_THE_REACTOR = {"tap.py", "client/__main__.py"}

ASK = "import sys, shellstream.{0}; sys.exit('twisted' in sys.modules)"


def name_of(path: Path) -> str:
    """A file's module, without C{shellstream.} before it."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and parts[1:] else parts)


def imported(path: Path) -> Iterator[str]:
    """Every module or name that a file imports, wherever in it, in full."""
    package = ".".join(path.relative_to(ROOT).parent.parts)
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: -node.level + 1 or None] if node.level else []
            parts = [*base, *filter(None, [node.module])]
            yield from (".".join([*parts, alias.name]) for alias in node.names)


FILES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def arrows(name: str) -> set[str]:
    """Return the project's modules that a module imports."""
    found = set()
    for full in imported(FILES[name]):
        ours, _, rest = full.partition(".")
        if ours == "shellstream" and rest != "__version__":
            module = rest if rest in FILES else rest.rpartition(".")[0]
            found.add(module or "__init__")
    return found


def room_of(name: str) -> str:
    """The room that a module stands in."""
    path = FILES[name]
    parts = path.relative_to(PACKAGE).parent.parts
    return ".".join(parts) or path.stem


class LayerTests(SynchronousTestCase):
    """The rooms stand as C{docs/explanation/architecture.md} draws them."""

    def test_rooms(self) -> None:
        """
        A room imports only the rooms in its row of the table, and every room has one.
        """
        self.assertEqual(
            {room_of(name) for name in FILES} - {"__init__"}, {*MAY_IMPORT}
        )
        for name in FILES.keys() - {"__init__"}:
            room = room_of(name)
            allowed = {room, *MAY_IMPORT[room].split()}
            rooms = {room_of(other) for other in arrows(name)}
            self.assertLessEqual(rooms, allowed, name)

    def test_client(self) -> None:
        """The library is below its tools, and no part of it imports upwards."""
        client = {name: name for name in FILES if name.split(".")[0] == "client"}
        level = {each: at for at, names in enumerate(CLIENT) for each in names}

        def level_of(name: str) -> int:
            return level[name.split(".")[1] if "." in name else "__init__"]

        for name in client:
            for other in arrows(name) - {"__init__", "programs"}:
                self.assertLessEqual(
                    level_of(other), level_of(name), f"{name}: {other}"
                )

    def test_no_circle(self) -> None:
        """No file imports itself by way of others, late or for types only."""
        try:
            TopologicalSorter({name: arrows(name) for name in FILES}).prepare()
        except CycleError as error:
            self.fail(" -> ".join(error.args[1]))

    def test_tests(self) -> None:
        """Test modules share only what is in their folder or in C{tests/support}."""
        for path in sorted((ROOT / "tests").rglob("*.py")):
            folder, *below = path.relative_to(ROOT / "tests").parts
            for full in imported(path):
                top, _, rest = full.partition(".")
                if top != "tests":
                    continue
                parts = rest.split(".")
                self.assertNotIn("test_", {part[:5] for part in parts}, str(path))
                allowed = {"support", folder if below else ""}
                self.assertIn(parts[0], allowed, str(path))

    def test_size(self) -> None:
        """A folder can be read at a glance."""
        folders = Counter(path.parent.relative_to(PACKAGE) for path in FILES.values())
        for folder, count in folders.items():
            self.assertLessEqual(count, MOST_FILES, str(folder))
            self.assertLessEqual(len(folder.parts), MOST_LEVELS, str(folder))

    def test_no_twisted(self) -> None:
        """Each pure module can be imported alone, without any Twisted."""
        for name in sorted(FILES):
            pure = {name, name.split(".")[0]} & WITHOUT_TWISTED
            if pure and name not in NEED_TWISTED:
                with self.subTest(name=name):
                    asked = [sys.executable, "-c", ASK.format(name)]
                    subprocess.run(asked, check=True, cwd=ROOT)

    def test_reactor(self) -> None:
        """Only the modules that assemble the program import the reactor."""
        seeing = {
            str(path.relative_to(PACKAGE))
            for path in FILES.values()
            for found in imported(path)
            if found.startswith("twisted.internet.reactor")
        }
        self.assertEqual(seeing, SEE_THE_REACTOR)
