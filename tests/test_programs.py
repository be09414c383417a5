"""Tests for C{shellstream.programs}."""

import os
import shlex
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from shellstream.programs import typed


class TypedTests(SynchronousTestCase):
    """What a message tells to type is found by the shell of its reader."""

    def setUp(self) -> None:
        self.bin = Path(self.mktemp()).absolute() / "an environment" / "bin"
        self.bin.mkdir(parents=True)
        self.patch(sys, "executable", str(self.bin / "python"))
        self.program = self.bin / "shellstreamd"
        self.program.write_text("")
        self.program.chmod(0o755)

    def path(self, *folders: Path) -> None:
        """Set $PATH."""
        patched = {**os.environ, "PATH": os.pathsep.join(map(str, folders))}
        self.patch(os, "environ", patched)

    def test_activated(self) -> None:
        """In an activated environment the name is enough."""
        self.path(self.bin)
        self.assertEqual(typed("shellstreamd"), "shellstreamd")

    def test_linked(self) -> None:
        """So it is where the folder of the user has a link to it, as uv makes them."""
        links = Path(self.mktemp()).absolute()
        links.mkdir()
        (links / "shellstreamd").symlink_to(self.program)
        self.path(links)
        self.assertEqual(typed("shellstreamd"), "shellstreamd")

    def test_not_activated(self) -> None:
        """In one that is not activated it takes the path, quoted for a shell."""
        self.path()
        self.assertEqual(shlex.split(typed("shellstreamd")), [str(self.program)])

    def test_other(self) -> None:
        """An installation of somebody else's does not pass for this one."""
        other = Path(self.mktemp()).absolute()
        other.mkdir()
        (other / "shellstreamd").write_text("")
        (other / "shellstreamd").chmod(0o755)
        self.path(other, self.bin)
        self.assertEqual(shlex.split(typed("shellstreamd")), [str(self.program)])

    def test_elsewhere(self) -> None:
        """Where it does not stand beside this Python, the name has to do."""
        self.program.unlink()
        self.path()
        self.assertEqual(typed("shellstreamd"), "shellstreamd")
