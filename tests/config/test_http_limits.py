"""Tests for L{shellstream.config.http_limits}: the table C{[http]}."""

from attrs import asdict, fields
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.config.http_limits import DEFAULT_HTTP_LIMITS as DEFAULT
from shellstream.config.http_limits import HttpLimits
from shellstream.config.loader import parse
from tests.support.configurations import COMMAND, mistakes

COUNTS = ("0", "-1", "1.5", "true", "'3'")
SECONDS = ("0", "-1", "'3'", "nan", "inf", "true")
SIZES = ("0", "-1", "'1 MB'", "true")
#: Each key with values that it does not take, and one that it does.
KEYS = {
    "connections": (COUNTS, "50", 50),
    "connections_per_address": (COUNTS, "50", 50),
    "viewers": (COUNTS, "50", 50),
    "header_size": (SIZES, "'8 KiB'", 8192),
    "headers": (COUNTS, "50", 50),
    "header_timeout": (SECONDS, "7.5", 7.5),
    "body_size": (SIZES, "'1 KiB'", 1024),
    "body_timeout": (SECONDS, "7", 7.0),
    "body_rate": (COUNTS, "50", 50),
    "input_size": (SIZES, "'2 MiB'", 2 << 20),
    "inputs_size": (SIZES, "'2 GiB'", 2 << 30),
    "idle_timeout": (SECONDS, "7", 7.0),
    "stall_timeout": (SECONDS, "7", 7.0),
}


class TableTests(SynchronousTestCase):
    """Each limit can be set, and its mistakes are reported."""

    def test_all(self) -> None:
        """Each limit has a key in the configuration."""
        self.assertEqual(set(KEYS), {each.name for each in fields(HttpLimits)})

    def test_right(self) -> None:
        """A key of the file changes its limit alone."""
        for key, (_, text, value) in KEYS.items():
            found = parse(f"{COMMAND}[http]\n{key} = {text}\n").http
            self.assertEqual(getattr(found, key), value)
            rest = {**asdict(DEFAULT), key: value}
            self.assertEqual(asdict(found), rest)

    def test_none(self) -> None:
        """Without the table all limits have their defaults."""
        self.assertEqual(parse(COMMAND).http, DEFAULT)

    def test_wrong(self) -> None:
        """Each limit has a type and a range."""
        for key, (values, _, _) in KEYS.items():
            for value in values:
                text = f"{COMMAND}[http]\n{key} = {value}\n"
                with self.subTest(text=text):
                    ((found, _, _),) = mistakes(text)
                    self.assertEqual(found, f"http.{key}")

    def test_together(self) -> None:
        """A share is at most the whole."""
        for text, key, words in (
            (
                "connections = 10\nconnections_per_address = 11",
                "connections_per_address",
                "at most connections, which is 10",
            ),
            (
                "input_size = '2 KiB'\ninputs_size = '1 KiB'",
                "inputs_size",
                "at least input_size, which is 2048",
            ),
            (
                "input_size = 1\ninputs_size = '32 KiB'",
                "inputs_size",
                "at least body_size, which is 65536",
            ),
        ):
            ((found, _, allowed),) = mistakes(f"{COMMAND}[http]\n{text}\n")
            self.assertEqual((found, allowed), (f"http.{key}", words))

    def test_unknown(self) -> None:
        """An unknown key is reported, with the likely one."""
        ((found, shown, _),) = mistakes(f"{COMMAND}[http]\nconnection = 1\n")
        self.assertEqual(found, "http.connection")
        self.assertIn("did you mean 'connections'", shown)


class CapTests(SynchronousTestCase):
    """The connection limit never exceeds the available file descriptors."""

    @given(st.integers(1, 1 << 62), st.integers(1, 10**6))
    def test_capped(self, files: int, runs: int) -> None:
        """Runs have the descriptors that they need, but not more than half."""
        found = DEFAULT.capped_to(files, runs)
        self.assertLessEqual(found.connections, DEFAULT.connections)
        self.assertLessEqual(found.connections, files)
        left = files - found.connections
        self.assertTrue(left >= 5 * runs + 100 or left >= files // 2)
        self.assertGreaterEqual(found.connections, min(DEFAULT.connections, files // 2))

    def test_ten_thousand(self) -> None:
        """Ten thousand viewers of one address need 20,000 descriptors at most."""
        self.assertGreaterEqual(DEFAULT.capped_to(20_000, 1000).per_address, 10_000)

    def test_nobody_alone(self) -> None:
        """One address never has all connections."""
        said = HttpLimits(connections_per_address=18_000)
        for bounds in (DEFAULT, said):
            for files in (10, 1024, 20_000, 1 << 20):
                found = bounds.capped_to(files, 1000)
                self.assertLess(found.per_address, found.connections)
                self.assertGreater(found.per_address, 0)
        few = HttpLimits(connections_per_address=7).capped_to(1024, 1000)
        self.assertEqual(few.per_address, 7)

    def test_inputs(self) -> None:
        """
        One address never has all room for input, unless there is room for one piece
        only.
        """
        self.assertLess(DEFAULT.inputs_per_address, DEFAULT.inputs_size)
        only = HttpLimits(input_size=10, inputs_size=10, body_size=10)
        self.assertEqual(only.inputs_per_address, 10)
