"""Tests for L{shellstream.process.executable}, with real files."""

import errno
import os
import shutil
import subprocess
from pathlib import Path
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase, TestCase

from shellstream.config.command import Command
from shellstream.model.events import Stream
from shellstream.process.executable import find_loader, find_preload, locate
from shellstream.process.launch_plan import LaunchPlan
from shellstream.process.unbuffering import Preload
from tests.support.processes import start
from tests.support.programs import ROOT, needs

C = str(ROOT / "tests" / "support" / "makers" / "maker.c")


class FilesTestCase(SynchronousTestCase):
    """A folder for programs."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)

    def file(self, name: str, text: str = "#!/bin/sh\n", mode: int = 0o755) -> str:
        """A file in the folder."""
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return str(path)


class LocateTests(FilesTestCase):
    """L{locate} finds the program that execvp(3) would execute, or says why not."""

    def fails(self, name: str, path: str, cwd: str | None = None) -> tuple[object, ...]:
        """The number and the file name of the error."""
        error = self.assertRaises(OSError, locate, name, path, cwd)
        return error.errno, error.filename

    def test_path(self) -> None:
        """The first in the path that may be executed is it."""
        self.file("a/x", mode=0o644)
        (self.folder / "b" / "x").mkdir(parents=True)
        right = self.file("c/x")
        self.file("d/x")
        path = ":".join(f"{self.folder}/{name}" for name in ("none", *"abcd"))
        self.assertEqual(locate("x", path, None), right)
        self.assertEqual(self.fails("y", path), (errno.ENOENT, "y"))
        only = f"{self.folder}/a:{self.folder}/none"
        self.assertEqual(self.fails("x", only), (errno.EACCES, "x"))

    def test_default_path(self) -> None:
        """Without a path there is the system's."""
        found = locate("sh", None, None)
        self.assertIn(os.path.dirname(found), os.defpath.split(":"))

    def test_named(self) -> None:
        """A name with a slash is looked for nowhere else."""
        right = self.file("a/x")
        self.assertEqual(locate(right, "", None), right)
        self.assertEqual(
            locate("./a/x", "/bin", str(self.folder)), f"{self.folder}/./a/x"
        )
        self.assertEqual(self.fails("a/y", "/bin"), (errno.ENOENT, "a/y"))
        self.assertEqual(self.fails(f"{right}/z", "/bin")[0], errno.ENOENT)

    def test_working_directory(self) -> None:
        """Relative paths begin at the working directory, which errors may name."""
        right = self.file("a/x")
        folder = str(self.folder)
        self.assertEqual(locate("x", "a", folder), right)
        self.assertEqual(locate("x", "", f"{folder}/a"), right)
        gone = f"{folder}/gone"
        self.assertEqual(self.fails("./x", "/bin", gone), (errno.ENOENT, gone))
        self.assertEqual(self.fails("./x", "/bin", right), (errno.ENOTDIR, right))


class LoaderTests(FilesTestCase):
    """L{loader} finds the loader of a program that may preload a library."""

    def compile(self, *compiler: str) -> str:
        """A program in C."""
        path = str(self.folder / "program")
        subprocess.run([*compiler, "-o", path, C], check=True)
        return path

    def test_script(self) -> None:
        """A script is loaded as its interpreter is, also by way of another."""
        usual = find_loader(locate("sh", None, None))
        self.assertIsNotNone(usual)
        first = self.file("first", "#!/bin/sh -e\n")
        self.assertEqual(find_loader(first), usual)
        self.assertEqual(find_loader(self.file("second", f"#! {first}\n")), usual)

    def test_broken_script(self) -> None:
        """A script whose interpreter is not there cannot be executed."""
        path = self.file("x", "#!/nonexistent/x\n")
        self.assertRaises(FileNotFoundError, find_loader, path)

    def test_unknown(self) -> None:
        """A file of another format, or a circle of scripts, has no loader."""
        loop = str(self.folder / "loop")
        for path in (
            self.file("text", "echo"),
            self.file("empty", ""),
            self.file("relative", "#!sh\n"),
            self.file("loop", f"#!{loop}\n"),
            str(self.folder),
        ):
            self.assertIsNone(find_loader(path), path)

    def test_fifo(self) -> None:
        """A FIFO is not opened, since that would block."""
        path = str(self.folder / "fifo")
        os.mkfifo(path)
        self.assertIsNone(find_loader(path))

    def test_changed(self) -> None:
        """A program that is replaced is looked at again."""
        path = self.file("x", "#!/bin/sh\n")
        self.assertIsNotNone(find_loader(path))
        os.replace(self.file("y", "#!relative\n"), path)
        self.assertIsNone(find_loader(path))

    def test_set_user_id(self) -> None:
        """A set-user-id or set-group-id program has no usable loader."""
        path = self.file("x")
        for mode in (0o4755, 0o2755):
            os.chmod(path, mode)
            self.assertIsNone(find_loader(path))

    def test_unreadable(self) -> None:
        """An unreadable program has no known loader."""
        path = self.file("x", mode=0o711)
        refused = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        with patch.object(os, "open", side_effect=refused):  # root may read it
            self.assertIsNone(find_loader(path))

    def test_static(self) -> None:
        """A statically linked program has no loader."""
        self.assertIsNone(find_loader(self.compile("cc", "-static")))

    def test_other_libc(self) -> None:
        """A program of another libc has another loader."""
        other, usual = (
            find_loader(self.compile("musl-gcc")),
            find_loader(locate("sh", None, None)),
        )
        self.assertIsNotNone(other)
        self.assertNotEqual(other, usual)

    def test_changes_root(self) -> None:
        """A script that changes the root, where the library would be missing."""
        path = self.file("x", "#!/bin/sh\nchroot /srv ls\n")
        self.assertIsNone(find_loader(path))
        self.assertIsNotNone(find_loader(self.file("y", "#!/bin/sh\nls\n")))

    test_static.skip = needs("cc")
    test_other_libc.skip = needs("musl-gcc")


class PreloadTests(FilesTestCase):
    """L{find_preload} asks stdbuf, and does not take its word."""

    def found(self, answer: str | None) -> object:
        """The preload that is found if stdbuf is this script, or is missing."""
        if answer is not None:
            self.file("stdbuf", f"#!/bin/sh\n{answer}\n")
        shutil.copy(locate("env", None, None), self.folder / "env")
        with patch.dict(os.environ, PATH=str(self.folder)):
            return find_preload()

    def test_real(self) -> None:
        """The real one names a library, for programs of the system's own libc."""
        found = find_preload()
        assert found is not None
        self.assertEqual(found.variables["_STDBUF_O"], "L")
        self.assertTrue(os.path.isfile(found.variables["LD_PRELOAD"]))
        self.assertEqual(found.loader, find_loader(locate("sh", None, None)))

    def test_asked(self) -> None:
        """The library that it sets is used if every user may read it."""
        library = self.file("x.so", mode=0o644)
        answer = f"echo LD_PRELOAD={library}; echo _STDBUF_O=L"
        found = self.found(answer)
        assert isinstance(found, Preload)
        self.assertEqual(found.variables, {"LD_PRELOAD": library, "_STDBUF_O": "L"})
        os.chmod(library, 0o640)
        self.assertIsNone(self.found(answer))

    def test_useless(self) -> None:
        """
        If C{stdbuf} is missing, fails, or prints nonsense, there is no preload library.
        """
        for answer in (
            None,
            "exit 125",
            "exit 0",
            "echo nonsense",
            "echo LD_PRELOAD=",
            "echo LD_PRELOAD=/nonexistent.so",
        ):
            self.assertIsNone(self.found(answer), answer)

    def test_stdbuf_of_no_loader(self) -> None:
        """A library that stdbuf itself cannot load is not used."""
        library = self.file("x.so", mode=0o644)
        script = f"#!/bin/sh\necho LD_PRELOAD={library}\n"
        self.file("stdbuf", script, mode=0o4755)
        with patch.dict(os.environ, PATH=f"{self.folder}:{os.environ['PATH']}"):
            self.assertIsNone(find_preload())

    test_real.skip = needs("stdbuf")


class SilentTests(TestCase):
    """A program that cannot load the library gets no variable for it."""

    timeout = 60

    async def test_silent(self) -> None:
        """A static program and one of another libc run without the library."""
        source = str(Path(self.mktemp()).absolute())
        Path(source).parent.mkdir(parents=True, exist_ok=True)
        Path(f"{source}.c").write_text(
            '#include <stdio.h>\nint main(void) { return puts("here") < 0; }\n'
        )
        prepared = LaunchPlan(preload=find_preload())
        for compiler in (("cc",), ("cc", "-static"), ("musl-gcc",)):
            subprocess.run([*compiler, "-o", source, f"{source}.c"], check=True)
            script = f"{source}.sh"
            Path(script).write_text(f"#!{source}\n")
            os.chmod(script, 0o755)
            for path in (source, script):
                command = Command(name="c", argv=(path,))
                _, told = start(self, command, prepared)
                self.assertEqual((await told.ended).code, 0, compiler)
                self.assertEqual(told.output_, {Stream.STDOUT: b"here\n"}, compiler)

    test_silent.skip = needs("cc", "musl-gcc")
