"""Tests for L{shellstream.client.doctor.suspects}: proxies and their settings."""

from twisted.trial.unittest import SynchronousTestCase

from shellstream.client.doctor.suspects import CURES, cures, proxy_named
from tests.support.doctor_exchanges import answer


class CureTests(SynchronousTestCase):
    """The suggested change depends on the proxy."""

    def test_named(self) -> None:
        """A proxy is known by the name in its headers."""
        for headers, name in (
            ({"server": "nginx/1.22.1"}, "nginx"),
            ({"server": "shellstream/0.1.0", "via": "1.1 Caddy"}, "Caddy"),
            ({"server": "envoy"}, "Envoy"),
            ({"server": "shellstream/0.1.0"}, None),
            ({}, None),
        ):
            self.assertEqual(proxy_named(answer(headers=headers)), name)

    def test_cures(self) -> None:
        """A known proxy has its own settings; an unknown one is offered all."""
        for kind, known in CURES.items():
            everything = cures(kind, None)
            self.assertEqual(cures(kind, "Unheard-of"), everything)
            for name, lines in known.items():
                self.assertEqual(cures(kind, name), lines)
                self.assertLessEqual(set(lines), set(everything))
                self.assertTrue(lines[0].startswith(f"# {name}"))
