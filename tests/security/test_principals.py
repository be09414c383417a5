"""Tests for the named principals and their credentials."""

from twisted.trial.unittest import SynchronousTestCase

from shellstream.config.loader import ConfigError, parse
from shellstream.security.authorization import Action, Grant
from shellstream.security.principals import AccessSettings

COMMAND = '[commands.x]\nargv = ["true"]\n'


def access(text: str) -> AccessSettings:
    """Parse the access settings of a configuration."""
    return parse(text + COMMAND).access


class ReadTests(SynchronousTestCase):
    """The tables of a configuration."""

    def test_nothing(self) -> None:
        """Without principals anyone who can connect is anonymous and allowed."""
        self.assertEqual(access(""), AccessSettings())

    def test_all(self) -> None:
        """Every key is read."""
        found = access(
            """
            [access]
            hosts = ["CI.example.org", "*.lan"]
            origins = ["https://dash.example"]
            proxies = ["127.0.0.1", "10.0.0.0/8", "fd00::/8", "unix"]
            user_header = "X-Remote-User"
            [principals.alice]
            certificates = ["email:alice@example.org", "CN=alice,O=Example"]
            commands = ["build*"]
            actions = ["run", "read"]
            own = true
            [principals."*"]
            actions = ["read"]
            """
        )
        self.assertEqual(found.hosts, ("ci.example.org", "*.lan"))
        self.assertEqual(found.origins, ("https://dash.example",))
        self.assertEqual(found.user_header, "x-remote-user")
        alice = found.known["alice"]
        actions = frozenset({Action.RUN, Action.READ})
        grant = Grant(commands=("build*",), actions=actions, own=True)
        self.assertEqual(alice.grant, grant)
        self.assertEqual(len(alice.certificates), 2)

    def test_mistakes(self) -> None:
        """All mistakes are reported at once."""
        with self.assertRaises(ConfigError) as caught:
            access(
                """
                [access]
                hosts = ["https://x"]
                origins = ["https://x/", "x"]
                proxies = ["example.org"]
                user_header = "X User"
                host = []
                [principals.anonymous]
                [principals."*"]
                certificates = ["CN=x"]
                [principals.bob]
                certificates = ["bob"]
                role = "admin"
                [principals."a b"]
                """
            )
        wrong = sorted(each.key for each in caught.exception.mistakes)
        self.assertEqual(
            wrong,
            [
                "access.host",
                "access.hosts",
                "access.origins",
                "access.proxies",
                "access.user_header",
                'principals."*".certificates',
                'principals."a b"',
                "principals.anonymous.commands",
                "principals.bob.certificates",
                "principals.bob.role",
            ],
        )

    def test_header_alone(self) -> None:
        """Anybody could send the header, were there no proxies that may."""
        with self.assertRaisesRegex(ConfigError, "beside proxies"):
            access('[access]\nuser_header = "X-User"\n')


class AccessTests(SynchronousTestCase):
    """Principals are recognized by the configuration."""

    def setUp(self) -> None:
        self.access = access(
            """
            [access]
            proxies = ["127.0.0.1", "10.0.0.0/8", "fd00::/8", "unix"]
            [principals.alice]
            certificates = ["email:alice@example.org"]
            [principals."*"]
            actions = ["read"]
            """
        )

    def test_trusts(self) -> None:
        """Only listed peers are proxies."""
        for peer in ("127.0.0.1", "10.9.8.7", "fd00::1", "unix", "::ffff:10.0.0.1"):
            self.assertTrue(self.access.is_proxy(peer), peer)
        for peer in ("127.0.0.2", "11.0.0.1", "fe80::1", "", "10.0.0.0/8", "::1"):
            self.assertFalse(self.access.is_proxy(peer), peer)
        self.assertFalse(AccessSettings().is_proxy("unix"))

    def test_accounts(self) -> None:
        """A peer on a UNIX socket may be known by its account, too."""
        listed = access('[access]\nproxies = ["unix:root", "unix:4711"]\n')
        self.assertTrue(listed.is_proxy("unix:0"))
        self.assertTrue(listed.is_proxy("unix:4711"))
        for peer in ("unix:1", "unix", "unix:", "root"):
            self.assertFalse(listed.is_proxy(peer), peer)
        self.assertTrue(self.access.is_proxy("unix:1"))
        with self.assertRaisesRegex(ConfigError, "an account of this machine"):
            access('[access]\nproxies = ["unix:no-such-account"]\n')

    def test_by_proxy(self) -> None:
        """A proxy's users are known by name, or as all others."""
        alice = self.access.by_proxy("alice")
        bob = self.access.by_proxy("bob")
        assert alice is not None
        assert bob is not None
        self.assertEqual((alice.name, alice.grant), ("alice", Grant()))
        self.assertEqual(bob.name, "bob")
        self.assertEqual(bob.grant.actions, {Action.READ})
        for name in ("*", "anonymous"):
            self.assertIsNone(self.access.by_proxy(name))
        self.assertIsNone(AccessSettings().by_proxy("bob"))

    def test_by_certificate(self) -> None:
        """A certificate belongs to a principal by exactly one of its names."""
        names = ("CN=x", "email:alice@example.org")
        alice = self.access.by_certificate(names, 17)
        assert alice is not None
        self.assertEqual((alice.name, alice.expires), ("alice", 17))
        for other in ("alice@example.org", "email:alice@example.org.evil", "alice"):
            self.assertIsNone(self.access.by_certificate([other]))
