"""Certificates and keys in files: the operator's, and a self-signed one of our own."""

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

from shellstream.model.errors import ShellstreamError
from shellstream.security.certificates import self_signed

from .state.files import file_stamp, sync_folder

#: The most that is read of a file, in bytes. All authorities of a system are smaller.
MAX_FILE = 1 << 20


class TLSFileUnusable(ShellstreamError):
    """A file cannot be used; the text says which, and why."""


@frozen
class CertifiedKey:
    """
    A private key and the certificates that vouch for it.

    @ivar chain: the certificate of the key, and those of the authorities behind it.
    @ivar source: the file of the certificates, for people.
    """

    chain: tuple[x509.Certificate, ...]
    key: Any  # each kind of key is a class of its own
    source: str


def read_certified_key(certificate: str | Path, key: str | Path) -> CertifiedKey:
    """
    Read the operator's files, in PEM.

    @raise TLSFileUnusable: if one cannot be read, or the key is not the certificate's.
    """
    chain = _certificates(_read(certificate), str(certificate))
    return _certified_key(chain, _read(key), str(certificate), str(key))


def read_authorities(path: str) -> tuple[x509.Certificate, ...]:
    """
    Read the certificates that may sign those of clients, in PEM.

    @raise TLSFileUnusable: if the file cannot be read, or holds no certificates.
    """
    return _certificates(_read(path), path)


def stamp(paths: Iterable[str]) -> tuple[object, ...]:
    """A value that differs once one of these files, or the target of a link, has."""
    return tuple(map(_stamp, paths))


def _stamp(path: str) -> object:
    try:
        return file_stamp(os.stat(path))
    except OSError as error:
        return error.errno


def create(names: Iterable[str], now: datetime) -> CertifiedKey:
    """Create a self-signed certificate and its key, in memory only."""
    key, certificate = self_signed(names, now)
    return _certified_key(_certificates(certificate, "memory"), key, "memory", "memory")


def load_or_create(folder: Path, names: Iterable[str], now: datetime) -> CertifiedKey:
    """
    Load the self-signed certificate of a state folder, or create it at first.

    @param folder: one that this daemon has locked: nobody else creates one meanwhile.
    @raise TLSFileUnusable: if the files are damaged, or cannot be written.
    """
    mine = folder / "tls"
    certificate, key = mine / "certificate.pem", mine / "key.pem"
    try:
        # A link that leads nowhere is not replaced either: clients may have pinned it.
        if not os.path.lexists(mine):
            _make(folder / "tls.new", mine, *self_signed(names, now))
        return read_certified_key(certificate, key)
    except OSError as error:
        where = error.filename or mine
        raise TLSFileUnusable(f"{where}: {error.strerror}") from None
    except TLSFileUnusable as error:
        remedy = f"repair that, or move {mine} away: clients have to pin the new one"
        raise TLSFileUnusable(f"{error}; {remedy}") from None


def _make(new: Path, final: Path, key: bytes, certificate: bytes) -> None:
    """Write both files in a folder, and rename that: they always belong together."""
    if new.is_dir():  # a daemon was killed while it wrote them
        shutil.rmtree(new)
    new.mkdir(mode=0o700)
    new.chmod(0o700)  # whatever the umask is, here and below
    _write(new / "key.pem", key, 0o600)
    _write(new / "certificate.pem", certificate, 0o644)
    sync_folder(new)
    new.rename(final)
    sync_folder(final.parent)


def _write(path: Path, data: bytes, mode: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(fd, "wb") as file:
        os.fchmod(fd, mode)
        file.write(data)
        file.flush()
        os.fsync(fd)


def _opened(path: str, flags: int) -> int:
    # Opening a FIFO would wait for a writer.
    return os.open(path, flags | os.O_NONBLOCK)


def _read(path: str | Path) -> bytes:
    try:
        with open(path, "rb", opener=_opened) as file:
            regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            data = file.read(MAX_FILE + 1) if regular else b""
    except OSError as error:
        raise TLSFileUnusable(f"{path}: {error.strerror}") from None
    if not regular:
        raise TLSFileUnusable(f"{path}: it is not a regular file")
    if len(data) > MAX_FILE:
        raise TLSFileUnusable(f"{path}: it is longer than {MAX_FILE} bytes")
    return data


def _certified_key(
    chain: tuple[x509.Certificate, ...], key: bytes, source: str, key_source: str
) -> CertifiedKey:
    try:
        loaded = load_pem_private_key(key, None)
        if chain[0].public_key() == loaded.public_key():
            return CertifiedKey(chain, loaded, source)
        why = f"it does not hold the key of the first certificate in {source}"
    except TypeError:
        why = "the key has a password; give one without"
    except ValueError:
        why = "it holds no key in PEM"
    except UnsupportedAlgorithm as error:
        why = str(error)
    raise TLSFileUnusable(f"{key_source}: {why}")


def _certificates(data: bytes, where: str) -> tuple[x509.Certificate, ...]:
    try:
        return tuple(x509.load_pem_x509_certificates(data))
    except ValueError:
        raise TLSFileUnusable(f"{where}: it holds no certificate in PEM") from None
