"""The files with servers by name: one that a user writes, and one of C{login}."""

import os
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import Any, NamedTuple

from shellstream.client.errors import ConfigError

#: What a file with a secret should not permit: others may read it, or write to it.
_NOT_FOR_OTHERS = stat.S_IROTH | stat.S_IWOTH | stat.S_IWGRP

#: The keys of a [servers.NAME] table: in each file, and of that of L{save}.
_KEYS = ("url", "token_file", "cacert", "pin", "cert", "key")
_SAVED_KEYS = (*_KEYS, "token")

_HEAD = """\
# Written by "shellstream login". The client does not show these tokens to others; nor
# should you. What you write yourself belongs into client.toml beside this file.
"""


class Configuration(NamedTuple):
    """
    The servers that have names.

    @ivar default: the one that is asked by default: a name, or a URL.
    @ivar servers: what is known of each.
    """

    default: str | None
    servers: dict[str, dict[str, str]]


def load_configuration(
    environ: Mapping[str, str], warn: Callable[[str], object]
) -> Configuration:
    """
    Read both files. What the user has written goes before what was saved.

    @raise ConfigError: if one is malformed.
    """
    warnings: list[str] = []
    written = load_written(environ, warnings.append)
    # Who may not read one file may not read the other: one warning is enough.
    for each in warnings:
        warn(each)
    saved = Configuration(None, {}) if warnings else load_saved(environ, warn)
    default = written.default or saved.default
    return Configuration(default, {**saved.servers, **written.servers})


def load_written(
    environ: Mapping[str, str], warn: Callable[[str], object]
) -> Configuration:
    """Read the file that the user writes."""
    found = _load(config_path(environ), _KEYS, warn)
    return Configuration(found.get("server"), found.get("servers", {}))


def load_saved(
    environ: Mapping[str, str], warn: Callable[[str], object]
) -> Configuration:
    """Read the file of L{save}."""
    found = _load(path := saved_path(environ), _SAVED_KEYS, warn)
    if found:
        assert path is not None
        check_mode(path, "saved servers", warn)
    return Configuration(found.get("server"), found.get("servers", {}))


def change_saved(
    environ: Mapping[str, str], change: Callable[[Configuration], Configuration]
) -> Configuration:
    """
    Change what is in the file of L{save}, after all others who do so.

    @return: what is there now.
    @raise ConfigError: if it cannot be read or written.
    """
    path = saved_path(environ)
    if path is None:
        raise ConfigError("this user has no home directory; set $XDG_CONFIG_HOME")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    try:
        with suppress(OSError):  # some file systems have no locks
            flock(folder, LOCK_EX)
        new = change(load_saved(environ, lambda text: None))
        save(environ, new)
    finally:
        os.close(folder)
    return new


def save(environ: Mapping[str, str], saved: Configuration) -> Path:
    """
    Write the file of saved servers, whole or not at all, for this user alone.

    @raise ConfigError: if it cannot be written.
    """
    path = saved_path(environ)
    if path is None:
        raise ConfigError("this user has no home directory; set $XDG_CONFIG_HOME")
    lines = [_HEAD]
    if saved.default is not None:
        lines.append(f"server = {_quoted(saved.default)}\n")
    for name, entry in saved.servers.items():
        lines.append(f"\n[servers.{name}]\n")
        lines += [f"{key} = {_quoted(value)}\n" for key, value in entry.items()]
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            with open(os.open(new, flags, 0o600), "wb") as file:
                file.write("".join(lines).encode())
                file.flush()
                os.fsync(file.fileno())
            new.replace(path)
        except OSError:
            with suppress(OSError):
                new.unlink()
            raise
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    return path


def _quoted(text: str) -> str:
    """A basic string of TOML. What is saved has no characters beyond ASCII."""
    import json  # its strings are TOML's, but for the character 0x7f

    return json.dumps(text).replace("\x7f", "\\u007f")


def check_mode(path: Path, where: str, warn: Callable[[str], object]) -> None:
    """Warn of a file with a secret that is not its user's alone."""
    mode = path.stat().st_mode
    if stat.S_ISREG(mode) and mode & _NOT_FOR_OTHERS:
        warn(f"{where}: other users can read or change it; type: chmod 600 {path}")


def config_path(environ: Mapping[str, str]) -> Path | None:
    """
    The file that the user writes (XDG Base Directory Specification); L{None} for a user
    without a home directory, as in some containers.
    """
    home = environ.get("XDG_CONFIG_HOME") or "~/.config"
    try:
        return Path(home).expanduser() / "shellstream" / "client.toml"
    except RuntimeError:
        return None


def saved_path(environ: Mapping[str, str]) -> Path | None:
    """The file of L{save}, beside the other."""
    path = config_path(environ)
    return None if path is None else path.with_name("servers.toml")


def _load(
    path: Path | None, keys: tuple[str, ...], warn: Callable[[str], object]
) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except PermissionError as error:
        # $HOME is often another user's, as with sudo -u.
        warn(f"{path}: {error.strerror}; going on without this configuration")
        return {}
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    import tomllib  # late: most users have no configuration

    try:
        found = tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeError:
        raise ConfigError(f"{path}: it is not UTF-8 text") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: {error}") from None
    faults = _faults(found, keys)
    if faults:
        raise ConfigError(f"{path}: {'; '.join(faults)}")
    return found


def _faults(found: Mapping[str, Any], keys: tuple[str, ...]) -> list[str]:
    """All mistakes in a configuration, so that a user can mend them in one go."""
    faults = [
        f"{name}: is unknown; the keys are server and [servers.NAME]"
        for name in found
        if name not in ("server", "servers")
    ]
    if not isinstance(found.get("server", ""), str):
        faults.append("server: must be a URL, or a name")
    servers = found.get("servers", {})
    if not isinstance(servers, dict):
        return [*faults, "servers: must be tables, [servers.NAME]"]
    for name, entry in servers.items():
        where = f"servers.{name}"
        if not isinstance(entry, dict) or "url" not in entry:
            faults.append(f"{where}: must be a table with a url")
            continue
        for key, value in entry.items():
            if key not in keys:
                known = ", ".join(keys)
                faults.append(f"{where}.{key}: is unknown; the keys are {known}")
            elif not isinstance(value, str):
                faults.append(f"{where}.{key}: must be a string")
    return faults
