"""
The documents, taken at their word: their blocks of code, and what runs these.

A block says by its language how it is tried, or by a comment in the line before it:

  - C{<!-- test: daemon -->}: it starts a daemon that stays;
  - C{<!-- test: exit N -->}: it ends with this code;
  - C{<!-- test: service NAME -->}: systemd would start or reload this service;
  - C{<!-- test: skip REASON -->}: it is not run here, and why.
"""

import os
import re
import shlex
import sys
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

from attrs import define, field, frozen
from twisted.trial.unittest import TestCase

from shellstream.config.loader import parse
from tests.support.programs import ROOT, Program, open_terminal, run
from tests.support.proxies import NGINX, free_port

DOCS = ROOT / "docs"

#: All that somebody reads; what C{docs/generate.py} makes has no blocks to run.
DOCUMENTS = (ROOT / "README.md", *sorted(DOCS.rglob("*.md")))

#: As much as is read in one go.
README_LINES = 160

_FENCE = re.compile(r"^( *)```(\w*)$")
_MARKER = re.compile(r"<!-- test: (.*) -->")

#: What a block of each language is for; any other needs a reason to be skipped.
LANGUAGES = frozenset({"cron", "ini", "nginx", "python", "sh", "text", "toml"})


@frozen
class Block:
    """
    A block of code in a document.

    @ivar line: where its text begins, from 1.
    @ivar marker: what the comment before it says; empty without one.
    """

    path: Path
    line: int
    language: str
    text: str
    marker: str = ""

    @property
    def file(self) -> str | None:
        """Return the name of the file to save, if the first line has one."""
        first = re.match(r"# ([~\w./-]+)$", self.text.partition("\n")[0])
        return None if first is None else first[1]

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}"


def blocks(path: Path) -> Iterator[Block]:
    """Return each block of a document: fenced, or indented by four spaces."""
    lines = path.read_text("utf-8").splitlines()
    at, marker = 0, ""
    while at < len(lines):
        line, begin = lines[at], at
        fence = _FENCE.match(line)
        if fence is not None:
            at = next(n for n in range(at + 1, len(lines)) if lines[n].strip() == "```")
            body = [each.removeprefix(fence[1]) for each in lines[begin + 1 : at]]
            yield Block(path, begin + 2, fence[2], "\n".join(body) + "\n", marker)
        elif line.startswith("    ") and begin and not lines[begin - 1]:
            while at + 1 < len(lines) and lines[at + 1].startswith("    "):
                at += 1
            body = [each[4:] for each in lines[begin : at + 1]]
            yield Block(path, begin + 1, "sh", "\n".join(body) + "\n", marker)
        if line:  # a comment counts for the next block
            found = _MARKER.fullmatch(line.strip())
            marker = "" if found is None else found[1]
        at += 1


@define(eq=False)
class Walkthrough:
    """
    A reader who types all that a document says, block by block, on one machine.

    The machine is a folder: it has a home and an C{/etc} of its own. Every host name
    is this machine, and port 8000 is a free one. curl fails when it is refused, so that
    no refusal passes for an answer.

    @ivar https: the port that nginx has in place of 443.
    """

    test: TestCase
    path: Path
    root: Path = field(init=False)
    port: int = field(factory=free_port, init=False)
    https: int = field(factory=free_port, init=False)
    token: str = field(default="", init=False)
    pin: str = field(default="", init=False)
    _last: Program | None = field(default=None, init=False)
    _serving: Program | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.root = Path(self.test.mktemp()).absolute()
        for name in ("etc/nginx/sites-enabled", "etc/systemd/system", "bin", "tmp"):
            (self.root / name).mkdir(parents=True)
        for name in ("opt/shellstream", "var/lib", "var/log", "srv"):
            (self.root / name).mkdir(parents=True)
        self.home.mkdir()
        self._kept.touch()
        # The clone that each document is read in.
        for name in ("deploy", "docs", "tests"):
            (self.home / name).symlink_to(ROOT / name)
        bin_ = self.home / ".venv" / "bin"
        bin_.mkdir(parents=True)
        for each in Path(sys.executable).parent.iterdir():
            (bin_ / each.name).symlink_to(each)
        (self.root / "opt/shellstream/bin").symlink_to(bin_)
        self._client(bin_ / "shellstream")
        # By itself curl exits with 0 after a status of 400 or more.
        (self.home / ".curlrc").write_text("fail-with-body\n")
        # A reader would wait here; the test does not.
        self._program("sleep", "exit 0")
        self._program("sudo", 'exec "$@"')

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def _kept(self) -> Path:
        """The variables of the reader's shell."""
        return self.root / "variables"

    def _client(self, path: Path) -> None:
        """Run the client, with port 8000 as its default server."""
        server = f"SHELLSTREAM_URL=${{SHELLSTREAM_URL:-http://127.0.0.1:{self.port}}}"
        said = '[ -e "$HOME/.config/shellstream/client.toml" ] || [[ $* == *://* ]]'
        real = path.resolve()
        path.unlink()
        path.write_text(f'#!/bin/bash\n{said} || export {server}\nexec {real} "$@"\n')
        path.chmod(0o755)

    def _program(self, name: str, script: str) -> None:
        path = self.root / "bin" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    @property
    def env(self) -> dict[str, str]:
        return {
            "HOME": str(self.home),
            "TMPDIR": str(self.root / "tmp"),
            "PATH": os.pathsep.join(
                (
                    str(self.root / "bin"),
                    str(self.home / ".venv" / "bin"),
                    os.environ["PATH"],
                    "/usr/sbin",
                )
            ),
            "XDG_STATE_HOME": "",
            "XDG_CONFIG_HOME": "",
            "PYTHONPATH": "",
        }

    async def walk(self) -> None:
        """Try every block; the first that fails fails the test, and is named."""
        for block in blocks(self.path):
            kind, _, word = block.marker.partition(" ")
            if kind == "skip":
                continue
            try:
                await self._try(block, kind, word)
            except Exception as error:
                raise AssertionError(f"{block}: {error}") from error

    async def _try(self, block: Block, kind: str, word: str) -> None:
        if kind == "daemon":
            await self._daemon(block)
        elif kind == "service":
            await self._service(block, word)
        elif block.language in ("sh", "python"):
            await self._run(block, int(word) if kind == "exit" else 0)
        elif block.language == "text":
            self._compare(block)
        else:
            await self._save(block)

    def here(self, text: str) -> str:
        """A text of the document as it has to be typed on this machine."""
        text = text.replace("listen 443 ", f"listen 127.0.0.1:{self.https} ")
        text = re.sub(r"(?<![\w.~/])/(etc|opt|srv|var)/", rf"{self.root}/\1/", text)
        text = re.sub(r"(?<=//)(laptop|pi|192\.0\.2\.\d+)(?=[:/\s])", "127.0.0.1", text)
        text = re.sub(r"\b8000\b", str(self.port), text)
        text = text.replace("shs_…", self.token)
        return re.sub(r"SHA256:[0-9a-f]+…", self.pin or "SHA256:", text)

    async def _run(self, block: Block, code: int) -> None:
        """Run the block, with the variables of the blocks before."""
        script = self.root / "tmp" / "block"
        text = self.here(block.text)
        if block.language == "python":
            script.write_text(text)
            line = f". {self._kept}\nexec {sys.executable} {script}"
            argv = ["/bin/bash", "-c", line]
        else:
            keep = f"trap 'export -p > {self._kept}' EXIT"
            script.write_text(f". {self._kept}\nset -eao pipefail\n{keep}\n{text}")
            argv = ["/bin/bash", str(script)]
        nothing = os.open(os.devnull, os.O_RDONLY)
        fds: dict[int, int | str] = {0: nothing, 1: "r", 2: "r"}
        try:
            program = run(
                self.test, *argv, env=self.env, cwd=str(self.home), child_fds=fds
            )
        finally:
            os.close(nothing)
        self._last = program
        self._look(program)
        found = await program.ended()
        self._look(program)
        if found != code:
            said = (program.out + program.err).decode("utf-8", "replace")
            raise AssertionError(f"exit code {found}, not {code}\n{text}\n{said}")

    async def _daemon(self, block: Block) -> None:
        text = self.here(block.text).strip()
        if "--port" not in text:
            text += f" --port {self.port}"
        await self._start(f". {self._kept}\nexec {text}", text)

    async def _start(self, script: str, text: str) -> None:
        """A daemon, in place of the one before."""
        if self._serving is not None:
            self._serving.signal("INT")
            await self._serving.ended()
        self._serving = program = run(
            self.test,
            *("/bin/bash", "-c", script),
            env={**self.env, "STATE_DIRECTORY": self.env.get("STATE_DIRECTORY", "")},
            cwd=str(self.home),
            end_with="INT",
            # The first token is shown on a terminal only.
            pty=open_terminal() if "0.0.0.0" in text and not self.token else None,
        )
        self._last = program
        await program.seen(b"type: curl" if "unix:" in text else b"/ or type: ")
        if "0.0.0.0" in text and not self.token:
            await program.seen(b"shown only now")
        self._look(program)

    async def _service(self, block: Block, name: str) -> None:
        words = shlex.split(block.text)
        asked = (["reload"], ["restart"], ["enable", "--now"])
        assert words[:2] == ["sudo", "systemctl"], words
        assert words[2:-1] in asked, words
        assert words[-1] == name, words
        if name == "nginx":
            await self._nginx()
            return
        unit = ConfigParser(strict=False, interpolation=None)
        path = self.root / "etc/systemd/system" / f"{name}.service"
        unit.read_string(self.here(path.read_text("utf-8")))
        state = self.root / "var/lib" / unit["Service"]["StateDirectory"]
        line = f"{unit['Service']['ExecStart']} --port {self.port}"
        await self._start(f"STATE_DIRECTORY={state} exec {line}", line)

    def _look(self, program: Program) -> None:
        """Remember what a reader would copy."""
        said = (program.out + program.err).decode("utf-8", "replace")
        token = re.findall(r"shs_[A-Za-z0-9_-]{20,}", said)
        pin = re.findall(r"SHA256:[0-9a-f]{64}", said)
        self.token = token[-1] if token else self.token
        self.pin = pin[-1] if pin else self.pin

    def _compare(self, block: Block) -> None:
        """
        Compare with the output of the last block; an ellipsis stands for anything.
        """
        assert self._last is not None, "there is no output yet"
        pieces = (re.escape(each) for each in self.here(block.text).strip().split("…"))
        wanted = ".*".join(pieces)
        out, err = self._last.out, self._last.err
        found = [
            each.decode("utf-8", "replace").replace("\r\n", "\n")
            for each in (out, err, out + err)  # a terminal shows both
        ]
        if not any(re.search(wanted, each, re.DOTALL) for each in found):
            raise AssertionError(f"not printed:\n{block.text}\nbut:\n{found}")

    async def _save(self, block: Block) -> None:
        """Save the block as the file that it names, and have its program read it."""
        assert block.file is not None, "its first line names no file"
        name = self.here(block.file)
        text = self.here(block.text)
        path = self.home / name.removeprefix("~/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        if block.language == "toml" and path.name != "client.toml":
            command = "" if "[commands." in text else '[commands.x]\nargv = ["true"]\n'
            parse(f"{text}\n{command}")
        elif block.language == "cron":
            check_cron(text)
        elif block.language == "ini":
            units = [str(each) for each in path.parent.iterdir()]
            await self._check("systemd-analyze", "verify", *units)

    async def _check(self, *argv: str) -> None:
        program = run(self.test, "/usr/bin/env", *argv, env=self.env)
        code = await program.ended()
        said = program.out + program.err
        if code:
            raise AssertionError(f"{argv} exits with {code}: {said.decode()}")

    async def _nginx(self) -> None:
        """Start nginx with the sites of this machine."""
        folder = self.root / "nginx"
        folder.mkdir()
        sites = self.root / "etc/nginx/sites-enabled"
        main = NGINX.replace("include site.conf", f"include {sites}/*")
        (folder / "nginx.conf").write_text(main)
        proxy = run(
            self.test,
            *("/usr/bin/env", "nginx", "-p", f"{folder}/", "-c", "nginx.conf"),
            *("-e", "stderr", "-g", "error_log stderr notice;"),
            env=self.env,
            end_with="TERM",
        )
        await proxy.seen(b"start worker process ")


_CRON = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


def check_cron(text: str) -> None:
    """
    Crontab lines (crontab(5)): five fields of numbers, then a program.

    @raise AssertionError: for what cron would not take.
    """
    for line in filter(None, text.splitlines()):
        if line.startswith("#") or re.match(r"\w+ *=", line):
            continue
        *fields, command = line.split(maxsplit=5)
        assert len(fields) == 5, line
        assert command, line
        for each, (low, high) in zip(fields, _CRON, strict=True):
            for part in each.split(","):
                match = re.fullmatch(r"(?:\*|(\d+)(?:-(\d+))?)(?:/\d+)?", part)
                assert match is not None, f"{part!r} in {line!r}"
                for number in filter(None, match.groups()):
                    assert low <= int(number) <= high, f"{number} in {line!r}"
