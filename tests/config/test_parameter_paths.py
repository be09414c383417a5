"""Tests for L{shellstream.config.parameters.Path}, which never leaves its roots."""

import os
from os.path import normpath
from pathlib import Path as FilePath

from hypothesis import assume, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.config.parameters import MAX_LENGTH, Path
from tests.support.parameters import TEXTS, ParameterTestCase, accepted


class PathTests(ParameterTestCase):
    """A L{Path} stays inside its roots, with any dots and links."""

    def setUp(self) -> None:
        self.base = FilePath(self.mktemp()).absolute()
        self.app, self.app2 = self.base / "app", self.base / "app2"
        for folder in (self.app / "sub", self.app2):
            folder.mkdir(parents=True)
        self.path = Path(name="p", roots=(str(self.app),))

    def test_inside(self) -> None:
        """Absolute and relative paths are resolved; they need not exist."""
        inside = {
            "sub": "sub",
            "sub/new": "sub/new",
            "./sub/../sub//x": "sub/x",
            ".": "",
            f"{self.app}": "",
            f"{self.app}/sub/": "sub",
            f"/{self.app}/sub": "sub",
            "-rf": "-rf",
            "...": "...",
        }
        for value, expected in inside.items():
            with self.subTest(value=value):
                found = self.path.accept(value)
                self.assertEqual(found, str(self.app / expected))

    def test_outside(self) -> None:
        """Dots do not lead out, and a sibling with a longer name is outside."""
        outside = (
            "..",
            "../app2",
            "sub/../../app2/x",
            "/",
            "/etc/passwd",
            "//etc",
            "~/../..",
        )
        self.assert_refused(self.path, *outside, f"{self.app2}", f"{self.app}2/x")
        self.assert_refused(self.path, f"{self.app}/../app2", f"{self.app}x")

    def test_symlinks(self) -> None:
        """A link that leads out is refused; one that stays inside is resolved."""
        links = {
            "out": self.app2,
            "up": FilePath(".."),
            "in": FilePath("sub"),
            "chain": FilePath("out"),
            "dangling": self.base / "nowhere",
            "loop": FilePath("loop"),
        }
        for name, goal in links.items():
            os.symlink(goal, self.app / name)
            # Tools that walk through _trial_temp would walk in circles.
            self.addCleanup(os.unlink, self.app / name)
        self.assert_refused(
            self.path, "out", "out/x", "up", "up/app2", "chain", "dangling"
        )
        self.assertEqual(self.path.accept("in/x"), str(self.app / "sub/x"))
        self.assertEqual(self.path.accept("up/app/sub"), str(self.app / "sub"))
        self.assertEqual(self.path.accept("loop"), str(self.app / "loop"))

    def test_circle(self) -> None:
        """A path behind a link to itself is refused."""
        links: dict[str, str | FilePath] = {"loop": "loop", "out": self.app2}
        links |= {"one": "two", "two": "one", "behind": "loop/../out"}
        for name, goal in links.items():
            os.symlink(goal, self.app / name)
            self.addCleanup(os.unlink, self.app / name)
        hidden = ("loop/../out", "one/../out/x", "./loop/./../out", "behind")
        self.assert_refused(self.path, *hidden, "loop/../../app2")
        self.assertEqual(self.path.accept("loop/../sub"), str(self.app / "sub"))
        self.assertEqual(self.path.accept("loop/x"), str(self.app / "loop/x"))

    def test_long(self) -> None:
        """A resolved path is not too long to be accepted again."""
        self.assert_refused(self.path, "0" * MAX_LENGTH)
        fits = "0" * (MAX_LENGTH - len(str(self.app)) - 1)
        found = self.path.accept(fits)
        self.assertEqual(self.path.accept(found), found)

    def test_linked_root(self) -> None:
        """A root may be a link: the paths inside its target are accepted."""
        os.symlink(self.app, self.base / "current")
        path = Path(name="p", roots=(str(self.base / "current"),))
        for value in ("sub", f"{self.base}/current/sub", f"{self.app}/sub"):
            self.assertEqual(path.accept(value), str(self.app / "sub"))
        self.assert_refused(path, "../app2", f"{self.base}/other")

    def test_second_root(self) -> None:
        """A path may be inside any root; a relative one starts at the first."""
        path = Path(name="p", roots=(str(self.app), str(self.app2)))
        self.assertEqual(path.accept("../app2/x"), str(self.app2 / "x"))
        self.assertEqual(path.accept("x"), str(self.app / "x"))
        self.assert_refused(path, str(self.base))

    def test_everywhere(self) -> None:
        """The root C{/} allows every path."""
        path = Path(name="p", roots=("/",), resolve=lambda text: text)
        self.assertEqual(path.accept("/etc"), "/etc")

    def test_longest(self) -> None:
        """A path may be as long as any string."""
        path = Path(name="p", roots=("/",), resolve=lambda text: text)
        self.assertEqual(len(path.accept("/" + "x" * (MAX_LENGTH - 1))), MAX_LENGTH)

    def test_unfit(self) -> None:
        """Empty text, text that is too long and other types are refused."""
        texts = ("", "\0", "a\0", "\ud800", "x" * (MAX_LENGTH + 1))
        self.assert_refused(self.path, *texts, 1, True, None, [])


#: Paths made of what leads up, across and astray.
NAMES = st.sampled_from(
    ["..", ".", "", "app", "app2", "srv", "ap", "x", "-f", "\0", "é"]
)
PATHS = st.lists(NAMES, max_size=8).map("/".join)
ROOTS = st.lists(
    st.sampled_from(["/srv/app", "/srv/app/", "/srv", "/", "/x/../srv/app"]),
    min_size=1,
    max_size=2,
).map(tuple)


class PathProperties(SynchronousTestCase):
    """A L{Path} never leaves its roots; the test's machine has no links."""

    @given(ROOTS, PATHS | PATHS.map("/srv/app".__add__) | TEXTS)
    def test_inside(self, roots, value) -> None:
        """An accepted path is a root or inside one, and has no dots left."""
        path = Path(name="p", roots=roots, resolve=normpath)
        text = accepted(path, value)
        assume(text is not None)
        assert text is not None
        self.assertTrue(text.startswith("/"))
        self.assertFalse({".", ".."} & set(text.split("/")))
        steps = [step for step in text.split("/") if step]
        inside = [[s for s in normpath(root).split("/") if s] for root in roots]
        self.assertTrue(any(steps[: len(root)] == root for root in inside), text)

    @given(PATHS)
    def test_everything_inside(self, value) -> None:
        """A path that stays inside is accepted, with any dots."""
        assume("\0" not in value and value and not value.startswith("/"))
        expected = normpath(f"/srv/app/{value}")
        inside = (expected + "/").startswith("/srv/app/")
        text = accepted(Path(name="p", roots=("/srv/app",), resolve=normpath), value)
        self.assertEqual(text, expected if inside else None)
