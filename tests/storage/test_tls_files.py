"""Tests for L{shellstream.storage.tls_files}: files that hold certificates and keys."""

import os
import stat
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import trustme
from twisted.trial.unittest import SynchronousTestCase

from shellstream.security.certificates import fingerprint
from shellstream.storage.tls_files import (
    MAX_FILE,
    TLSFileUnusable,
    create,
    load_or_create,
    read_authorities,
    read_certified_key,
    stamp,
)

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)


class FilesTestCase(SynchronousTestCase):
    """A folder for them."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)

    def put(self, name: str, data: bytes) -> str:
        """A file with this in it."""
        path = self.folder / name
        path.write_bytes(data)
        return str(path)


class ReadTests(FilesTestCase):
    """The operator's files are read, or reported with what is wrong."""

    def setUp(self) -> None:
        super().setUp()
        self.authority = trustme.CA()
        issued = self.authority.create_child_ca().issue_cert("x.test")
        chain = b"".join(pem.bytes() for pem in issued.cert_chain_pems)
        self.certificate = self.put("cert.pem", chain)
        self.key = self.put("key.pem", issued.private_key_pem.bytes())
        self.both = self.put("both.pem", issued.private_key_pem.bytes() + chain)

    def why(self, certificate: str, key: str) -> str:
        """Why a pair is refused."""
        return str(
            self.assertRaises(TLSFileUnusable, read_certified_key, certificate, key)
        )

    def test_pair(self) -> None:
        """A chain and its key, in two files or in one."""
        pair = read_certified_key(self.certificate, self.key)
        self.assertEqual(len(pair.chain), 2)
        self.assertEqual(pair.chain[0].public_key(), pair.key.public_key())
        self.assertEqual(read_certified_key(self.both, self.both).chain, pair.chain)

    def test_authorities(self) -> None:
        """Several authorities may be in one file."""
        pem = self.authority.cert_pem.bytes()
        path = self.put("ca.pem", pem + trustme.CA().cert_pem.bytes())
        self.assertEqual(len(read_authorities(path)), 2)

    def test_not_there(self) -> None:
        """A missing or irregular file is named with the reason."""
        gone = str(self.folder / "gone")
        said = f"{gone}: No such file or directory"
        self.assertEqual(self.why(gone, self.key), said)
        self.assertEqual(self.why(self.certificate, gone), said)
        fifo = str(self.folder / "fifo")
        os.mkfifo(fifo)
        self.assertEqual(self.why(fifo, self.key), f"{fifo}: it is not a regular file")
        folder = str(self.folder)
        self.assertEqual(self.why(folder, self.key), f"{folder}: Is a directory")

    def test_nonsense(self) -> None:
        """A file with other content, or half of it, is named."""
        whole = Path(self.certificate).read_bytes()
        for data in (b"", b"x", whole[:100]):
            path = self.put("bad.pem", data)
            said = f"{path}: it holds no certificate in PEM"
            self.assertEqual(self.why(path, self.key), said)
            self.assertEqual(
                str(self.assertRaises(TLSFileUnusable, read_authorities, path)), said
            )
            said = f"{path}: it holds no key in PEM"
            self.assertEqual(self.why(self.certificate, path), said)

    def test_another_key(self) -> None:
        """A key of another certificate is reported with both names."""
        other = trustme.CA().issue_cert("x.test").private_key_pem.bytes()
        path = self.put("other.pem", other)
        self.assertEqual(
            self.why(self.certificate, path),
            f"{path}: it does not hold the key of the first certificate in "
            f"{self.certificate}",
        )

    def test_password(self) -> None:
        """A key with a password is refused, without a prompt."""
        for how in (("pkcs8", "-topk8"), ("ec", "-aes128")):
            path = str(self.folder / "locked.pem")
            argv = ["openssl", *how, "-passout", "pass:x", "-in", self.key]
            subprocess.run([*argv, "-out", path], check=True, capture_output=True)
            said = f"{path}: the key has a password; give one without"
            self.assertEqual(self.why(self.certificate, path), said)

    def test_unsupported(self) -> None:
        """A key of an unknown kind is refused, in the library's words."""
        path = str(self.folder / "odd.pem")
        curve = "ec_paramgen_curve:sect113r1"
        argv = ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", curve]
        subprocess.run([*argv, "-out", path], check=True, capture_output=True)
        self.assertIn(f"{path}: ", self.why(self.certificate, path))

    def test_too_long(self) -> None:
        """A file is read only up to a limit."""
        path = self.put("long.pem", b"x" * (MAX_FILE + 1))
        said = self.why(path, self.key)
        self.assertEqual(said, f"{path}: it is longer than {MAX_FILE} bytes")

    def test_stamp(self) -> None:
        """A file that is written to, replaced or made readable has another stamp."""
        paths = [self.certificate, self.key]
        before = stamp(paths)
        self.assertEqual(stamp(paths), before)
        seen = {before}
        os.chmod(self.key, 0o400)
        seen.add(stamp(paths))
        os.replace(self.both, self.key)
        seen.add(stamp(paths))
        os.unlink(self.key)
        seen.add(stamp(paths))
        self.put("key.pem", b"x")
        seen.add(stamp(paths))
        self.assertEqual(len(seen), 5)


class KeptTests(FilesTestCase):
    """The pair that no authority has signed, made once."""

    def test_made_once(self) -> None:
        """A second call returns the same pair."""
        first = load_or_create(self.folder, ["vm"], NOW)
        second = load_or_create(self.folder, ["other"], NOW)
        self.assertEqual(second.chain, first.chain)
        self.assertEqual(second.source, str(self.folder / "tls" / "certificate.pem"))
        self.assertNotEqual(create(["vm"], NOW).chain, first.chain)

    def test_modes(self) -> None:
        """The key is private, for any umask; the other files may be copied."""
        for umask in (0, 0o777):
            folder = self.folder / oct(umask)
            folder.mkdir()
            before = os.umask(umask)
            try:
                load_or_create(folder, ["vm"], NOW)
            finally:
                os.umask(before)
            modes = {
                path.name: stat.S_IMODE(path.stat().st_mode)
                for path in (folder / "tls").iterdir()
            }
            self.assertEqual(modes, {"key.pem": 0o600, "certificate.pem": 0o644})
            self.assertEqual(stat.S_IMODE((folder / "tls").stat().st_mode), 0o700)

    def test_half_made(self) -> None:
        """A half-made pair of a killed daemon is not used."""
        new = self.folder / "tls.new"
        new.mkdir()
        (new / "key.pem").write_bytes(b"half")
        load_or_create(self.folder, ["vm"], NOW)
        self.assertEqual(os.listdir(self.folder), ["tls"])

    def test_damaged(self) -> None:
        """
        A damaged pair is kept, since clients have pinned it; the error says how to
        replace it.
        """
        load_or_create(self.folder, ["vm"], NOW)
        key = self.folder / "tls" / "key.pem"
        for data, why in ((b"", "it holds no key"), (None, "No such file")):
            if data is None:
                key.unlink()
            else:
                key.write_bytes(data)
            error = self.assertRaises(
                TLSFileUnusable, load_or_create, self.folder, ["vm"], NOW
            )
            self.assertIn(f"{key}: {why}", str(error))
            self.assertIn(f"move {self.folder / 'tls'} away", str(error))

    def test_no_room(self) -> None:
        """If the pair cannot be made, the error names the file and the reason."""
        gone = self.folder / "gone"
        error = self.assertRaises(TLSFileUnusable, load_or_create, gone, ["vm"], NOW)
        self.assertEqual(str(error), f"{gone / 'tls.new'}: No such file or directory")

    def test_in_memory(self) -> None:
        """A pair in memory is complete, and has the same names."""
        pair = create(["vm"], NOW)
        self.assertEqual(pair.chain[0].public_key(), pair.key.public_key())
        self.assertRegex(fingerprint(pair.chain[0]), "SHA256:[0-9a-f]{64}")
