"""What fuzzing has kept, once more, without a fuzzer."""

from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz.__main__ import CORPUS, KEPT, LARGEST
from tests.fuzz.targets import TARGETS

#: The most bytes that all of it may have.
MOST = 300_000


class CorpusTests(SynchronousTestCase):
    """Every parser that meets strangers lives through what was found for it."""

    def test_replayed(self) -> None:
        """Each input that is kept comes to what its target says."""
        for name, target in TARGETS.items():
            for path in sorted((CORPUS / name).iterdir()):
                with self.subTest(target=name, input=path.name):
                    target(path.read_bytes())

    def test_small(self) -> None:
        """There are some for each target and none for another, few and small."""
        self.assertEqual({path.name for path in CORPUS.iterdir()}, set(TARGETS))
        sizes = {
            name: [path.stat().st_size for path in (CORPUS / name).iterdir()]
            for name in TARGETS
        }
        self.assertLess(sum(map(sum, sizes.values())), MOST)
        for name, each in sizes.items():
            self.assertTrue(0 < len(each) <= KEPT, name)
            self.assertLessEqual(max(each), LARGEST, name)
