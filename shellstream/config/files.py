"""The files of the configuration: where they are, and what they hold together."""

import os
from collections.abc import Mapping
from pathlib import Path

from attrs import evolve, frozen

from shellstream.model.errors import ShellstreamError

from .loader import DEMO, Config, ConfigError, Source, parse
from .tls_settings import TLS

#: Below $XDG_CONFIG_HOME, and below /etc.
FILE = Path("shellstream/shellstream.toml")

#: The folder beside the file, whose files C{*.toml} add commands.
COMMANDS = "commands.d"

#: The most bytes of a file, and the most files in L{COMMANDS}.
MAX_FILE, MAX_FILES = 4 << 20, 1000


class ConfigUnusable(ShellstreamError):
    """The configuration cannot be used. The text says why, with a line for each."""


@frozen
class Loaded:
    """
    A configuration that was read.

    @ivar path: its file; L{None} for the demo.
    @ivar added: how many files of L{COMMANDS} are in it.
    """

    config: Config
    path: Path | None = None
    added: int = 0

    def __str__(self) -> str:
        if self.path is None:
            return "the demo"
        if not self.added:
            return str(self.path)
        files = "1 file" if self.added == 1 else f"{self.added} files"
        return f"{self.path}, with {files} of {self.path.parent / COMMANDS}"


@frozen
class ConfigFiles:
    """
    Where the configuration comes from, at the start and at each reload.

    @ivar given: the file that the operator named; L{None}: the first of L{usual} that
        exists.
    @ivar tls: whether to speak TLS even if no file says so.
    """

    given: Path | None
    usual: tuple[Path, ...] = ()
    tls: bool = False

    def load(self) -> Loaded:
        """
        Read the configuration.

        @raise ConfigUnusable: if a file that exists cannot be read, or has mistakes.
        """
        path = self.given or next(filter(_exists, self.usual), None)
        loaded = Loaded(DEMO) if path is None else _load(path)
        if self.tls and loaded.config.tls is None:
            return evolve(loaded, config=evolve(loaded.config, tls=TLS()))
        return loaded

    def describe(self, loaded: Loaded) -> str:
        """One line on what was read, for the operator."""
        if loaded.path is not None:
            return f"configuration: {loaded}"
        names = " or ".join(map(str, self.usual))
        why = f": there is no {names}" if names else ""
        return f"no configuration, only the demo{why}"


def usual_files(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """The files that are read when the operator names none (XDG base directories)."""
    home = environ.get("XDG_CONFIG_HOME", "")
    if not os.path.isabs(home):
        home = os.path.expanduser("~/.config")
    folders = filter(os.path.isabs, (home, "/etc"))  # without a home, ~ stays
    return tuple(folder / FILE for folder in map(Path, folders))


def _exists(path: Path) -> bool:
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:  # it may exist: then reading it says why that cannot be told
        return True
    return True


def read_sources(path: Path) -> list[Source]:
    """
    Read a file, and those beside it that add commands.

    @raise ConfigUnusable: if one cannot be read.
    """
    main, folder = _read(path), path.parent / COMMANDS
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        names = []
    except OSError as error:
        raise ConfigUnusable(f"cannot read {folder}: {error.strerror}") from None
    names = [
        each for each in names if each.endswith(".toml") and not each.startswith(".")
    ]
    if len(names) > MAX_FILES:
        why = f"{folder} has more than {MAX_FILES} files: put some of them together"
        raise ConfigUnusable(why)
    return [main, *(_read(folder / name) for name in names)]


def _load(path: Path) -> Loaded:
    main, *added = read_sources(path)
    try:
        config = parse(main.text, main.name, added)
    except ConfigError as error:
        count = len(error.mistakes)
        mistakes = "1 mistake" if count == 1 else f"{count} mistakes"
        here = all(each.place.startswith(main.name) for each in error.mistakes)
        what = f"{path} has" if here else "the configuration has"
        raise ConfigUnusable(f"{what} {mistakes}:\n{error}") from None
    return Loaded(config, path, len(added))


def _read(path: Path) -> Source:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise ConfigUnusable(f"cannot read {path}: {error.strerror}") from None
    if len(data) > MAX_FILE:
        raise ConfigUnusable(f"{path} has more than {MAX_FILE >> 20} MiB")
    try:
        text = data.decode("utf-8-sig")  # some editors begin a file with a BOM
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigUnusable(
            f"{path} is not UTF-8: line {line} has other bytes; save the file as UTF-8"
        ) from None
    # As in text files: tomllib takes no other ends of lines.
    return Source(text.replace("\r\n", "\n"), str(path))
