"""Tests for L{shellstream.config.loader}: a right file."""

import re

from twisted.trial.unittest import SynchronousTestCase

from shellstream.config.command import Command, Unbuffer
from shellstream.config.confinement import Confinement
from shellstream.config.loader import DEMO, Config, parse
from shellstream.config.parameters import Boolean, Integer, Number, Path, String
from shellstream.model.events import OnDisconnect
from shellstream.model.limits import Limits, OnFull, Sync, WhenBusy
from shellstream.model.run_record import Retention
from tests.support.configurations import COMMAND

WHOLE = r"""
default = "build"
max_running = 3
max_queued = 7
drain = 0
timeout = 90
idle_timeout = 45
grace = 2
on_disconnect = "keep"
linger = 0
stall_timeout = 60
retain = "1 MiB"
on_full = "pause"
sync = "never"
when_busy = "queue"
stdin = true
unbuffer = "off"
user = "nobody"
umask = "077"
nice = 10
memory = "1 GiB"
die_with_daemon = true

[keep]
age = 3600
runs = 10
bytes = "1 GiB"

[commands.build]
description = "Builds it"
argv = ["make", "-j{jobs}", "{target}", "{ratio}{fast}{file}"]
get = true
cwd = "/srv/app"
env = { CC = "gcc" }
timeout = 1.5
idle_timeout = 1.25
grace = 1
on_disconnect = "cancel"
linger = 3
stall_timeout = 4
retain = 4096
on_full = "cancel"
sync = "always"
max_running = 1
when_busy = "replace"
stdin = false
tty = true
unbuffer = "pty"
user = "builder"
group = "staff"
umask = "027"
nice = -5
memory = "2 GiB"
cpu_seconds = 60
processes = 100
open_files = 256
file_size = "10 MiB"
no_new_privileges = true
die_with_daemon = false

[commands.build.params.jobs]
type = "integer"
min = 1
max = 8
default = 2

[commands.build.params.target]
type = "string"
description = "What to make"
choices = ["all", "docs"]
max_length = 10
pattern = "[a-z]+"
allow_leading_dash = true
required = true

[commands.build.params.ratio]
type = "number"
min = 0
max = 0.5
default = 0.25
required = false

[commands.build.params.fast]
type = "boolean"
default = true

[commands.build.params.file]
type = "path"
roots = ["/srv/app", "/tmp"]

[commands."x-1.y"]
shell = "echo $name"

[commands."x-1.y".params.name]
type = "string"
"""


class RightTests(SynchronousTestCase):
    """A right file becomes frozen values."""

    def test_whole(self) -> None:
        """Every key reaches its field."""
        build = Command(
            name="build",
            description="Builds it",
            argv=("make", "-j{jobs}", "{target}", "{ratio}{fast}{file}"),
            get=True,
            cwd="/srv/app",
            env={"CC": "gcc"},
            limits=Limits(
                timeout=1.5,
                idle_timeout=1.25,
                grace=1.0,
                on_disconnect=OnDisconnect.CANCEL,
                linger=3.0,
                stall_timeout=4.0,
                retain=4096,
                on_full=OnFull.CANCEL,
                sync=Sync.ALWAYS,
                max_running=1,
                when_busy=WhenBusy.REPLACE,
            ),
            tty=True,
            unbuffer=Unbuffer.PTY,
            confine=Confinement(
                user="builder",
                group="staff",
                umask=0o27,
                nice=-5,
                memory=2 << 30,
                cpu_seconds=60,
                processes=100,
                open_files=256,
                file_size=10 << 20,
                no_new_privileges=True,
                die_with_daemon=False,
            ),
            params={
                "jobs": Integer(name="jobs", min=1, max=8, default="2"),
                "target": String(
                    name="target",
                    description="What to make",
                    choices=("all", "docs"),
                    max_length=10,
                    pattern=re.compile("[a-z]+"),
                    allow_leading_dash=True,
                ),
                "ratio": Number(name="ratio", min=0, max=0.5, default="0.25"),
                "fast": Boolean(name="fast", default="true"),
                "file": Path(name="file", roots=("/srv/app", "/tmp")),
            },
        )
        script = Command(
            name="x-1.y",
            shell="echo $name",
            params={"name": String(name="name")},
            # A command without a limit of its own has the one at the top of the file.
            limits=Limits(
                timeout=90.0,
                idle_timeout=45.0,
                grace=2.0,
                on_disconnect=OnDisconnect.KEEP,
                linger=0.0,
                stall_timeout=60.0,
                retain=1 << 20,
                on_full=OnFull.PAUSE,
                sync=Sync.NEVER,
                when_busy=WhenBusy.QUEUE,
            ),
            stdin=True,
            unbuffer=Unbuffer.OFF,
            confine=Confinement(
                user="nobody", umask=0o77, nice=10, memory=1 << 30, die_with_daemon=True
            ),
        )
        self.assertEqual(
            parse(WHOLE),
            Config(
                default="build",
                max_running=3,
                max_queued=7,
                drain=0.0,
                keep=Retention(age=3600.0, runs=10, bytes=1 << 30),
                commands={"build": build, "x-1.y": script},
            ),
        )

    def test_least(self) -> None:
        """A command needs only its argv."""
        expected = Config(commands={"x": Command(name="x", argv=("a",))})
        self.assertEqual(parse(COMMAND), expected)
        self.assertIsNone(expected.default)
        self.assertEqual((expected.max_running, expected.max_queued), (1000, 100))
        self.assertEqual((expected.drain, expected.keep), (10.0, Retention()))
        x = expected.commands["x"]
        self.assertEqual((x.stdin, x.tty, x.unbuffer), (False, False, Unbuffer.AUTO))
        self.assertEqual(expected.commands["x"].confine, Confinement())
        limits = expected.commands["x"].limits
        self.assertEqual(limits, Limits())
        self.assertEqual((limits.grace, limits.linger), (5.0, 10.0))
        self.assertEqual((limits.stall_timeout, limits.retain), (3600.0, 64 << 20))

    def test_demo(self) -> None:
        """Without a file the configuration is a demo command."""
        assert DEMO.default is not None
        demo = DEMO.commands[DEMO.default]
        self.assertTrue(demo.get)
        self.assertEqual(demo.invoke([]).env, {})
