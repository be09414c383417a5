"""Tests for L{shellstream.client.doctor.suspects}: proxies and their settings."""

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from shellstream.client.doctor.findings import Kind, Layer
from shellstream.client.doctor.suspects import CURES, name_of, suspect_at
from tests.support.doctor_exchanges import answer

UNKNOWN = suspect_at("http://h", answer(headers={}), Layer.PROXY)


class CureTests(SynchronousTestCase):
    """The suggested change depends on the program."""

    def test_named(self) -> None:
        """A program is known by the name in its headers."""
        for headers, name in (
            ({"server": "nginx/1.22.1"}, "nginx"),
            ({"server": "shellstream/0.1.0", "via": "1.1 Caddy"}, "Caddy"),
            ({"server": "envoy"}, "Envoy"),
            ({"server": "lighttpd/1.4.69"}, "lighttpd"),
            ({"server": "gunicorn"}, "gunicorn"),
            ({"server": "shellstream/0.1.0"}, None),
            ({}, None),
        ):
            self.assertEqual(name_of(answer(headers=headers)), name)

    def test_cures(self) -> None:
        """A known proxy has its own settings; an unknown one is offered all."""
        for kind, known in CURES.items():
            everything = UNKNOWN.cures(kind)
            self.assertEqual(evolve(UNKNOWN, program="Other").cures(kind), everything)
            for name, lines in known.items():
                self.assertEqual(evolve(UNKNOWN, program=name).cures(kind), lines)
                self.assertLessEqual(set(lines), set(everything))
                self.assertTrue(lines[0].startswith(f"# {name}"))

    def test_server(self) -> None:
        """A server is not offered the settings of proxies that are not there."""
        server = evolve(UNKNOWN, layer=Layer.SERVER)
        proxies = {
            line for known in CURES.values() for each in known.values() for line in each
        }
        for kind in Kind:
            if kind in CURES and kind not in (Kind.CUT, Kind.CUT_WHEN_IDLE):
                self.assertFalse(proxies & set(server.cures(kind)), kind)
        lighttpd = evolve(server, program="lighttpd")
        self.assertIn("server.stream-response-body = 2", lighttpd.cures(Kind.NO_CHUNKS))

    def test_to_remove(self) -> None:
        """A line that must go is in a comment, so that nobody adds it."""
        for known in CURES.values():
            for lines in known.values():
                for line in lines:
                    words = (
                        "compression algo",
                        "encode",
                        "force-proxy",
                        "ignore_headers",
                    )
                    if any(word in line for word in words):
                        self.assertRegex(line, "^#.*Remove this line: ")
