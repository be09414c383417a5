"""Tests for L{shellstream.config.confinement}."""

from twisted.trial.unittest import SynchronousTestCase

from shellstream.config.confinement import Confinement
from shellstream.process.confinement import Tool, tools

GID = 1002


class ToolTests(SynchronousTestCase):
    """A command without limits needs no tool; one with all limits needs three."""

    def test_nothing(self) -> None:
        """Settings that Popen applies, or that change nothing, need no tool."""
        self.assertEqual(list(tools(Confinement(), None)), [])
        self.assertEqual(list(tools(Confinement(umask=0o77, nice=0), None)), [])
        self.assertEqual(list(tools(Confinement(user="bob"), None)), [])

    def test_everything(self) -> None:
        """The user comes last, for root may do more; each key is named."""
        asked = Confinement(
            user="bob",
            group="staff",
            nice=-5,
            memory=1 << 20,
            cpu_seconds=3,
            processes=4,
            open_files=5,
            file_size=6,
            no_new_privileges=True,
            die_with_daemon=True,
        )
        limits = ("--as=1048576", "--nproc=4", "--nofile=5", "--fsize=6", "--cpu=3:4")
        keys = ("memory", "processes", "open_files", "file_size", "cpu_seconds")
        options = (
            "--reuid=bob",
            "--init-groups",
            "--inh-caps=-all",
            "--regid=1002",
            "--no-new-privs",
            "--pdeathsig=KILL",
        )
        last = ("user", "group", "no_new_privileges", "die_with_daemon")
        self.assertEqual(
            list(tools(asked, GID)),
            [
                Tool("nice", ("-n", "-5"), ("nice",)),
                Tool("prlimit", limits, keys),
                Tool("setpriv", options, last),
            ],
        )

    def test_group(self) -> None:
        """A group alone leaves the other groups as they are."""
        options = ("--regid=1002", "--keep-groups")
        expected = [Tool("setpriv", options, ("group",))]
        self.assertEqual(list(tools(Confinement(group="x"), GID)), expected)

    def test_user(self) -> None:
        """A user has that user's own groups, and no capabilities."""
        options = ("--reuid=bob", "--init-groups", "--inh-caps=-all", "--regid=1002")
        expected = [Tool("setpriv", options, ("user",))]
        self.assertEqual(list(tools(Confinement(user="bob"), GID)), expected)
