"""Tests for the throttling of wrong credentials."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from shellstream.security.login_throttle import (
    BURST,
    EVERY,
    MAX_ADDRESSES,
    LoginThrottle,
    client_network,
)


class LoginThrottleTests(SynchronousTestCase):
    """A few failures are a mistake; more are an attack."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.failures = LoginThrottle(self.clock.seconds)

    def fail_often(self, address: str) -> int:
        """Fail until it is refused, and return the number of failures before."""
        count = 0
        while not self.failures.record_failure(address):
            count += 1
        return count

    def test_burst(self) -> None:
        """A burst of failures is allowed, then one every few seconds."""
        self.assertEqual(self.fail_often("192.0.2.1"), BURST)
        again = self.failures.record_failure("192.0.2.1")
        self.assertEqual(again, EVERY + 1)
        self.clock.advance(again)
        self.assertEqual(self.fail_often("192.0.2.1"), 1)
        self.clock.advance(BURST * EVERY)
        self.assertEqual(self.fail_often("192.0.2.1"), BURST)

    def test_each(self) -> None:
        """Failures of one address do not affect another."""
        self.fail_often("192.0.2.1")
        self.assertEqual(self.failures.record_failure("192.0.2.2"), 0)

    def test_network(self) -> None:
        """All addresses of an IPv6 network count as one client."""
        self.fail_often("2001:db8:0:1::1")
        self.assertNotEqual(self.failures.record_failure("2001:db8:0:1:ffff::2"), 0)
        self.assertEqual(self.failures.record_failure("2001:db8:0:2::1"), 0)
        self.assertEqual(client_network("::ffff:192.0.2.1"), "192.0.2.1")
        self.assertEqual(client_network("fe80::1%eth0"), "fe80::/64")
        self.assertEqual(client_network("unix"), "unix")

    def test_bounded(self) -> None:
        """If too many addresses fail, the oldest are dropped."""
        self.fail_often("first")
        for number in range(MAX_ADDRESSES):
            self.failures.record_failure(str(number))
        self.assertEqual(self.failures.record_failure("first"), 0)

    @given(st.lists(st.floats(0, 100), max_size=60))
    def test_rate(self, waits: list[float]) -> None:
        """
        Over any time, the allowed failures are at most a burst and that time's share.
        """
        clock = Clock()
        failures = LoginThrottle(clock.seconds)
        taken = 0
        for wait in waits:
            clock.advance(wait)
            taken += failures.record_failure("a") == 0
        self.assertLessEqual(taken, BURST + sum(waits) / EVERY + 1e-6)
