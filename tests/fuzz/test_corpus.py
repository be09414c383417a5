"""Replays the corpus without a fuzzer."""

from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz.__main__ import CORPUS, KEPT, LARGEST
from tests.fuzz.cost import check_cost, check_turn
from tests.fuzz.targets import TARGETS

#: Of how many inputs of each target the cost is compared here.
COMPARED = 4

#: The most bytes that the whole corpus may have.
MOST = 300_000


class CorpusTests(SynchronousTestCase):
    """Every parser survives the inputs that fuzzing has found."""

    def test_replayed(self) -> None:
        """Each input passes the checks of its target, within a turn of the reactor."""
        for name, target in TARGETS.items():
            for path in sorted((CORPUS / name).iterdir()):
                with self.subTest(target=name, input=path.name):
                    check_turn(target, path.read_bytes())

    def test_cost(self) -> None:
        """The cost of an input grows with its length, and no faster."""
        for name, target in TARGETS.items():
            for path in sorted((CORPUS / name).iterdir())[:COMPARED]:
                with self.subTest(target=name, input=path.name):
                    check_cost(target, path.read_bytes())

    def test_small(self) -> None:
        """Each target has a corpus, of few and small inputs."""
        self.assertEqual({path.name for path in CORPUS.iterdir()}, set(TARGETS))
        sizes = {
            name: [path.stat().st_size for path in (CORPUS / name).iterdir()]
            for name in TARGETS
        }
        self.assertLess(sum(map(sum, sizes.values())), MOST)
        for name, each in sizes.items():
            self.assertTrue(0 < len(each) <= KEPT, name)
            self.assertLessEqual(max(each), LARGEST, name)
