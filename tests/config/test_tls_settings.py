"""Tests for L{shellstream.config.tls_settings}.

The table C{[tls]} of a configuration.
"""

from twisted.trial.unittest import SynchronousTestCase

from shellstream.config.loader import Config, ConfigError, parse
from shellstream.config.tls_settings import TLS, ClientCertificate, Minimum

COMMAND = '[commands.x]\nargv = ["x"]\n'


def tls(text: str) -> Config:
    """The TLS settings of a configuration with this in C{[tls]}."""
    return parse(f"{COMMAND}[tls]\n{text}")


class ReadTests(SynchronousTestCase):
    """The table C{[tls]} is read."""

    def test_none(self) -> None:
        """Without the table there is no TLS; an empty table turns it on."""
        self.assertIsNone(parse(COMMAND).tls)
        self.assertEqual(tls("").tls, TLS())

    def test_whole(self) -> None:
        """All keys may be there at once."""
        found = tls(
            'certificate = "/c"\nkey = "/k"\nclient_ca = "/a"\n'
            'client_certificate = "required"\nminimum = "1.3"'
        ).tls
        expected = TLS(
            certificate="/c",
            key="/k",
            client_ca="/a",
            client_certificate=ClientCertificate.REQUIRED,
            minimum=Minimum.TLS_1_3,
        )
        self.assertEqual(found, expected)

    def test_defaults(self) -> None:
        """By default TLS 1.2 is allowed, and client certificates are optional."""
        found = tls('certificate = "/c"\nkey = "/c"\nclient_ca = "/a"').tls
        assert found is not None
        self.assertIs(found.minimum, Minimum.TLS_1_2)
        self.assertIs(found.client_certificate, ClientCertificate.OPTIONAL)

    def test_wrong(self) -> None:
        """Each mistake names its key, and the allowed values."""
        for text, key, allowed in (
            ('certificate = "/c"', "tls.key", "a file beside certificate"),
            ('key = "/k"', "tls.certificate", "a file beside key"),
            ('certificate = "c"\nkey = "/k"', "tls.certificate", "an absolute path"),
            ('client_ca = "a"', "tls.client_ca", "an absolute path"),
            ('minimum = "1.1"', "tls.minimum", "one of '1.2', '1.3'"),
            ("minimum = 1.2", "tls.minimum", "one of '1.2', '1.3'"),
            (
                'client_certificate = "always"\nclient_ca = "/a"',
                "tls.client_certificate",
                "one of 'optional', 'required'",
            ),
            ('client_certificate = "required"', "tls.client_ca", "the authorities"),
            ('cert = "/c"', "tls.cert", "the keys certificate, client_ca"),
        ):
            (mistake,) = self.assertRaises(ConfigError, tls, text).mistakes
            self.assertEqual(mistake.key, key)
            self.assertIn(allowed, mistake.allowed)

    def test_no_table(self) -> None:
        """A value that is not a table is reported."""
        error = self.assertRaises(ConfigError, parse, f"tls = true\n{COMMAND}")
        self.assertIn("tls: found true; allowed: a table", str(error))
