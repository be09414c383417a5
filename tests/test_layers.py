"""Imports point down only, and nothing but the edges sees the reactor."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import shellstream

PACKAGE = Path(shellstream.__file__).parent
ROOT = PACKAGE.parent  # trial runs in _trial_temp

PURE = (
    "errors",
    "events",
    "limits",
    "elf",
    "unbuffer",
    "confine",
    "input",
    "record",
    "toml",
    "bounds",
    "access",
    "tokens",
    "tokenbook",
    "tokenoptions",
    "identities",
    "origins",
    "failures",
    "sessions",
    "tls",
    "certificates",
    "audit",
    "config",
    "declared",
    "parameters",
    "command",
    "sectors",
    "ring",
    "recovery",
    "outputlog",
    "utf8",
    "objects",
    "formats",
    "negotiation",
)
RUNS = ("run", "endedrun", "admission", "history", "active", "registry")
SEEN = ("rendition", "viewer", "trail")
DOMAIN = ("interfaces", "permitted", "tail", "stdin", "steering", *RUNS, *SEEN)
TOKENS = ("tokenfile", "tokenwatch", "door")
STATE = ("schema", "database", "store", "statedir", "leftovers", *TOKENS)
ENDS = ("terminal", "pipes")
CHILDREN = ("processes", *ENDS, "child", "executable", "prepare", "spawn")
EDGES = (
    "descriptors",
    *CHILDREN,
    "ringfile",
    "logs",
    "auditfile",
    *STATE,
    "tlsfiles",
)
STARTING = ("announce", "tokentool")
#: From the bottom up: who may import whom. The client stands beside the server.
LAYERS = (
    PURE,
    DOMAIN,
    EDGES,
    ("web",),
    ("daemon", "encryption"),
    STARTING,
    ("tap",),
)
SEE_THE_REACTOR = {"tap.py"}

ASK = "import sys, shellstream.{0}; sys.exit('twisted' in sys.modules)"


def imports(path: Path) -> Iterator[str]:
    """Every module or name that a file imports, wherever in it, in full."""
    package = ".".join(path.relative_to(ROOT).parent.parts)
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: -node.level + 1 or None] if node.level else []
            parts = [*base, *filter(None, [node.module])]
            yield from (".".join([*parts, alias.name]) for alias in node.names)


def files(name: str) -> list[Path]:
    """The files of a module or a package of ours."""
    whole = PACKAGE / name
    return sorted(whole.rglob("*.py")) if whole.is_dir() else [whole.with_suffix(".py")]


class LayerTests(SynchronousTestCase):
    """The layers that L{shellstream} promises are kept."""

    def test_no_twisted(self) -> None:
        """Each pure module can be imported alone, without any Twisted."""
        for name in PURE:
            with self.subTest(name=name):
                asked = [sys.executable, "-c", ASK.format(name)]
                subprocess.run(asked, check=True, cwd=ROOT)

    def test_down_only(self) -> None:
        """No module imports one of a layer above its own."""
        for index, layer in enumerate(LAYERS):
            above = {name for upper in LAYERS[index + 1 :] for name in upper}
            for path in (path for name in layer for path in files(name)):
                for found in imports(path):
                    top, _, rest = found.partition(".")
                    if top == "shellstream":
                        self.assertNotIn(rest.split(".")[0], above, f"{path}: {found}")

    def test_everything_has_a_layer(self) -> None:
        """A new module is put into a layer, or this test would not look at it."""
        known = {name for layer in LAYERS for name in layer} | {"client", "__init__"}
        there = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py"}
        there |= {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
        self.assertEqual(there, known)

    def test_client_apart(self) -> None:
        """The client shares nothing with the server but its version."""
        for path in files("client"):
            ours = {name for name in imports(path) if name.startswith("shellstream.")}
            own = {name for name in ours if name.startswith("shellstream.client.")}
            self.assertLessEqual(ours - own, {"shellstream.__version__"}, str(path))

    def test_reactor(self) -> None:
        """Only the module that wires things up imports the reactor."""
        seeing = {
            str(path.relative_to(PACKAGE))
            for path in files(".")
            for found in imports(path)
            if found.startswith("twisted.internet.reactor")
        }
        self.assertEqual(seeing, SEE_THE_REACTOR)
