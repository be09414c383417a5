"""Every command line and snippet of the documents works as it stands."""

import trustme
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.support.documents import DOCUMENTS, LANGUAGES, Walkthrough, blocks
from tests.support.programs import ROOT, needs

PROGRAMS = ("curl", "jq", "nginx", "systemd-analyze", "make")


class BlockTests(SynchronousTestCase):
    """No block is left out by accident."""

    def test_run_or_reason(self) -> None:
        """Each block is run, or says why it is not."""
        for path in DOCUMENTS:
            for block in blocks(path):
                if not block.marker.startswith("skip "):
                    self.assertIn(block.language, LANGUAGES, str(block))

    def test_all_walked(self) -> None:
        """Each document with a block is tested here."""
        tried = {
            getattr(method, "path", None) for method in vars(WalkthroughTests).values()
        }
        with_blocks = {
            path
            for path in DOCUMENTS
            if any(not each.marker.startswith("skip ") for each in blocks(path))
        }
        self.assertEqual(with_blocks - tried, set())


def walk(name: str):
    """A test that walks a reader through a document."""
    path = ROOT / name

    async def test(self: TestCase) -> None:
        reader = Walkthrough(self, path)
        await self.prepare(reader)
        await reader.walk()

    test.__doc__ = f"{name} can be typed as it stands."
    test.path = path
    return test


class WalkthroughTests(TestCase):
    """A reader can type all commands of a document, and they work."""

    timeout = 300  # of a machine that does much else
    skip = needs(*PROGRAMS)

    async def prepare(self, reader: Walkthrough) -> None:
        """Create the files that the documents expect on the machine."""
        app = reader.root / "srv" / "app"
        app.mkdir()
        rules = ("all test:", "\t@echo making $@", "broken:", "\t@exit 1")
        (app / "Makefile").write_text("\n".join((*rules, ".PHONY: all test", "")))
        (reader.root / "srv" / "backup").mkdir()
        documents = reader.home / "Documents"
        documents.mkdir()
        (documents / "letter.txt").write_text("Dear reader\n")
        self.certify(reader)

    def certify(self, reader: Walkthrough) -> None:
        """A certificate for nginx, of an authority that curl trusts."""
        authority = trustme.CA()
        folder = reader.root / "etc" / "ssl"
        folder.mkdir()
        certificate = authority.issue_cert("buttons.example.org")
        certificate.private_key_pem.write_to_path(str(folder / "buttons.key"))
        for blob in certificate.cert_chain_pems:
            blob.write_to_path(str(folder / "buttons.pem"), append=True)
        trusted = folder / "authority.pem"
        authority.cert_pem.write_to_path(str(trusted))
        # As if the name led here, to the port that nginx has.
        there = f"connect-to = buttons.example.org:443:127.0.0.1:{reader.https}\n"
        with (reader.home / ".curlrc").open("a") as settings:
            settings.write(f"{there}cacert = {trusted}\n")

    test_readme = walk("README.md")
    test_tutorial = walk("docs/tutorial.md")
    test_troubleshooting = walk("docs/troubleshooting.md")
    test_laptop_backup = walk("docs/recipes/laptop-backup.md")
    test_ci_build = walk("docs/recipes/ci-build.md")
    test_buttons = walk("docs/recipes/buttons-behind-nginx.md")
    test_schedule = walk("docs/recipes/schedule.md")
    test_notifications = walk("docs/recipes/notifications.md")
    test_sleeping_laptop = walk("docs/recipes/sleeping-laptop.md")
    test_background = walk("docs/recipes/background.md")
    test_access = walk("docs/reference/access.md")
    test_client = walk("docs/reference/client.md")
    test_doctor = walk("docs/reference/doctor.md")
    test_input = walk("docs/reference/input.md")
    test_library = walk("docs/reference/library.md")
    test_unbuffer = walk("docs/reference/unbuffer.md")
