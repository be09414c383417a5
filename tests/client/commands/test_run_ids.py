"""Tests for L{shellstream.client.commands.run_ids}: which run a user means."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.client import Client
from shellstream.client.commands.run_ids import MOST_SEARCHED, find_run
from shellstream.client.errors import NoSuchRun
from tests.support.client_wires import FakeWire, document, finish

NEW = "01a23252-7e69-7310-91f8-a80efc2e4997"
OLD = "01a23252-0136-7627-a225-75228bf10b15"
OTHER = "01a1ffff-fa96-7b9f-a364-5d36217d53a6"


_PAGE = range(1000)


def page(*ids: str) -> Any:
    """A page of runs, the last of all."""
    runs = [{"id": each, "command": "build", "principal": "me"} for each in ids]
    return document({"runs": runs, "next": None})


class RunIdTests(SynchronousTestCase):
    """A run is named by all or a part of its id, or by what it is the last of."""

    def find(self, text: str, *answers: Any) -> str:
        self.wire = FakeWire(answers or [page(), page()])
        return str(finish(find_run(Client("http://h", self.wire), text)))

    def refuses(self, text: str, *answers: Any) -> str:
        error = self.assertRaises(NoSuchRun, self.find, text, *answers)
        return str(error)

    def test_whole(self) -> None:
        """A whole id costs no request."""
        self.assertEqual(self.find(NEW), NEW)
        self.assertEqual(self.find(NEW.upper()), NEW)
        self.assertEqual(self.wire.asked, [])

    def test_beginning(self) -> None:
        """The beginning of an id costs one request, however many runs there are."""
        self.assertEqual(self.find("01a23252-7", page(NEW, OLD, OTHER)), NEW)
        last = "01a23252-7fff-ffff-ffff-ffffffffffff"
        self.assertEqual(self.wire.lines, [f"GET /runs?limit=5&after={last}"])

    def test_end(self) -> None:
        """The end of an id names it, if no id begins so."""
        for text in ("4997", "2e4997"):
            found = self.find(text, page(OTHER), page(NEW, OLD, OTHER))
            self.assertEqual(found, NEW)
        for text in ("a80efc2e4997", "91f8-a80efc2e4997"):  # no id can begin so
            self.assertEqual(self.find(text, page(NEW, OLD, OTHER)), NEW)

    def test_ambiguous(self) -> None:
        """What fits several runs is refused, and they are listed."""
        said = self.refuses("01a23252", page(NEW, OLD, OTHER))
        self.assertIn(f"may be any of {NEW} (build), {OLD} (build); give more", said)
        self.assertNotIn(OTHER, said)
        many = [NEW[:-1] + each for each in "54321"]
        self.assertIn("and others", self.refuses("01a", page(*many)))

    def test_too_many(self) -> None:
        """Where not all runs can be looked at, the end of an id has to be long."""

        def full(at: int) -> Any:
            ids = [f"{9 - at}{999 - n:07x}-0136-7627-a225-75228bf1fffe" for n in _PAGE]
            ids[-1] = ids[-1] if at else ids[-1].replace("fffe", "4997")
            runs = [{"id": each, "command": "c"} for each in ids]
            return document({"runs": runs, "next": "x"})

        pages = map(full, range(MOST_SEARCHED // len(_PAGE)))
        said = self.refuses("4997", page(), *pages)
        self.assertIn("but perhaps others of so many runs, too; give 8 char", said)
        self.assertEqual(self.find("8bf14997", page(), full(0))[-4:], "4997")

    def test_none(self) -> None:
        """No run is told from a text that cannot be one."""
        said = self.refuses("4997", page(OTHER), page(OTHER))
        self.assertIn("there is no run '4997'", said)
        self.assertIn("shellstream ps --all lists the runs", said)
        said = self.refuses("build")
        self.assertIn("@build is the last run of the command 'build'", said)
        self.assertEqual(self.wire.asked, [])

    def test_last_of_command(self) -> None:
        """C{@NAME} is the newest run of a command."""
        self.assertEqual(self.find("@build", page(NEW)), NEW)
        self.assertEqual(self.wire.lines, ["GET /runs?limit=1&command=build"])
        self.assertIn("no run of 'x' is kept", self.refuses("@x"))

    def test_last(self) -> None:
        """C{@last} is the newest run of this user, not of another."""
        runs = [
            {"id": NEW, "command": "c", "principal": "other"},
            {"id": OLD, "command": "c", "principal": "me"},
        ]
        index, me = (document({"version": "1", "principal": "me"}) for _ in "12")
        listed = document({"runs": runs, "next": None})
        self.assertEqual(self.find("@last", index, listed), OLD)
        self.assertIn("no run of yours", self.refuses("@last", me, page()))

    @given(st.text(max_size=40))
    def test_any(self, text: str) -> None:
        """Any other text is no run, and no crash."""
        try:
            self.find(text, page(), page())
        except NoSuchRun as error:
            self.assertLess(len(str(error)), 600)
        else:
            self.assertEqual(self.wire.asked, [])
