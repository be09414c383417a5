from twisted.trial.unittest import TestCase

from tests.support import Gate, run, start_daemon


class T(TestCase):
    async def test_curl(self) -> None:
        gate = Gate(self)
        daemon = await start_daemon(self, gate.config)
        client = run(self, "curl", "-sN", daemon.url + "/stream")
        await gate.passed_by(client)
        self.assertEqual(await client.ended(), 0)
