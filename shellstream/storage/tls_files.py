"""The files that TLS is made of: those of the operator, and those of our own."""

import os
import shutil
import stat
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from attrs import frozen
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from shellstream.security.certificates import self_signed

#: The most that is read of a file, in bytes: all authorities of a system are less.
MAX_FILE = 1 << 20


class Unusable(Exception):
    """A file cannot be used; the text says which, and why."""


@frozen
class Pair:
    """
    A certificate, those of its authorities behind it, and its key.

    @ivar where: the files, for people.
    """

    chain: tuple[x509.Certificate, ...]
    key: Any  # each kind of key is a class of its own
    where: str


def read_pair(certificate: str | Path, key: str | Path) -> Pair:
    """
    @raise Unusable: if a file is not there or not what it should be, or the key is
        not the certificate's.
    """
    chain = _certificates(_read(certificate), str(certificate))
    return _pair(chain, _read(key), str(certificate), str(key))


def read_authorities(path: str) -> tuple[x509.Certificate, ...]:
    """@raise Unusable: if it is not there, or holds no certificates."""
    return _certificates(_read(path), path)


def stamp(paths: Iterable[str]) -> tuple[object, ...]:
    """What changes when one of these files does, or what a link to it leads to."""
    return tuple(map(_stamp, paths))


def _stamp(path: str) -> object:
    try:
        found = os.stat(path)
    except OSError as error:
        return error.errno
    # The last is another after a chmod(1), too, with which it may be readable.
    return (
        found.st_dev,
        found.st_ino,
        found.st_size,
        found.st_mtime_ns,
        found.st_ctime_ns,
    )


def made(names: Iterable[str], now: datetime) -> Pair:
    """A new pair that no authority has signed, and that nobody keeps."""
    key, certificate = self_signed(names, now)
    return _pair(_certificates(certificate, "memory"), key, "memory", "memory")


def kept(folder: Path, names: Iterable[str], now: datetime) -> Pair:
    """
    The pair that no authority has signed of a folder, made if it is not there.

    @param folder: only the daemon's own; nobody else makes one there meanwhile.
    @raise Unusable: if what is there is not right, or nothing can be put there.
    """
    mine = folder / "tls"
    certificate, key = mine / "certificate.pem", mine / "key.pem"
    try:
        if not os.path.lexists(mine):
            _make(folder / "tls.new", mine, *self_signed(names, now))
        return read_pair(certificate, key)
    except OSError as error:
        where = error.filename or mine
        raise Unusable(f"{where}: {error.strerror}") from None
    except Unusable as error:
        remedy = f"repair that, or move {mine} away to have a new one, which clients"
        raise Unusable(f"{error}; {remedy} have to pin anew") from None


def _make(new: Path, final: Path, key: bytes, certificate: bytes) -> None:
    """Both files at once, or none: whenever we are killed, they belong together."""
    if new.is_dir():  # we were
        shutil.rmtree(new)
    new.mkdir(mode=0o700)
    new.chmod(0o700)  # whatever the umask is, here and below
    _write(new / "key.pem", key, 0o600)
    _write(new / "certificate.pem", certificate, 0o644)
    _sync(new)
    new.rename(final)
    _sync(final.parent)


def _write(path: Path, data: bytes, mode: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(fd, "wb") as file:
        os.fchmod(fd, mode)
        file.write(data)
        file.flush()
        os.fsync(fd)


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _opened(path: str, flags: int) -> int:
    # A FIFO would keep us waiting for who writes it.
    return os.open(path, flags | os.O_NONBLOCK)


def _read(path: str | Path) -> bytes:
    try:
        with open(path, "rb", opener=_opened) as file:
            regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            data = file.read(MAX_FILE + 1) if regular else b""
    except OSError as error:
        raise Unusable(f"{path}: {error.strerror}") from None
    if not regular:
        raise Unusable(f"{path}: it is no file")
    if len(data) > MAX_FILE:
        raise Unusable(f"{path}: it is longer than {MAX_FILE} bytes")
    return data


def _pair(
    chain: tuple[x509.Certificate, ...], key: bytes, where: str, key_where: str
) -> Pair:
    try:
        loaded = load_pem_private_key(key, None)
        if chain[0].public_key() == loaded.public_key():
            return Pair(chain, loaded, where)
        why = f"it does not hold the key of the first certificate in {where}"
    except TypeError:
        why = "the key has a password; give one without"
    except ValueError:
        why = "it holds no key in PEM"
    except UnsupportedAlgorithm as error:
        why = str(error)
    raise Unusable(f"{key_where}: {why}")


def _certificates(data: bytes, where: str) -> tuple[x509.Certificate, ...]:
    try:
        return tuple(x509.load_pem_x509_certificates(data))
    except ValueError:
        raise Unusable(f"{where}: it holds no certificate in PEM") from None
