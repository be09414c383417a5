"""Tests for L{shellstream.web.resources.preconditions} (RFC 9110, 13)."""

from tests.support.http import Connection, Reply
from tests.support.web import RunsTestCase

HTML = {"Accept": "text/html"}


class PreconditionsTestCase(RunsTestCase):
    """Requests that depend on an entity tag."""

    def once(self, path: str, method: str = "GET", **headers: str) -> Reply:
        """The answer on a connection of its own."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        body = b"" if method == "POST" else None
        connection = Connection(self.site)
        connection.request(method, path, body, named)
        self.clock.advance(0)
        return connection.reply()


class DocumentTests(PreconditionsTestCase):
    """Documents have an entity tag, and it is honoured."""

    def paths(self) -> list[str]:
        started = self.begin()
        started.say(b"abc\n")
        started.exit(3)
        run = f"/runs/{started.run.id}"
        return [
            *("/", "/commands", "/commands/say", "/runs", "/openapi.json", "/healthz"),
            *("/login", run, f"{run}/output", f"{run}/output?tail=1", f"{run}/"),
        ]

    def test_not_modified(self) -> None:
        """A client that has the document already gets 304 and no body."""
        for path in self.paths():
            for accept in ("*/*", "text/html"):
                tag = self.once(path, Accept=accept).headers["etag"]
                self.assertRegex(tag, '^"[!#-~]+"$')
                for method in ("GET", "HEAD"):
                    for sent in (tag, f"W/{tag}", f'"x", {tag}', "*"):
                        reply = self.once(
                            path, method, If_None_Match=sent, Accept=accept
                        )
                        self.assertEqual((reply.status, reply.rest), (304, b""), path)
                        self.assertEqual(reply.headers["etag"], tag)
                        self.assertIn("no-store", reply.headers["cache-control"])
                        self.assertNotIn("content-type", reply.headers)
                for sent in ('"x"', tag.strip('"'), "", f'"{tag}', '"a'):
                    reply = self.once(path, If_None_Match=sent, Accept=accept)
                    self.assertEqual(reply.status, 200, sent)

    def test_failed(self) -> None:
        """A client that wants another state of it gets 412."""
        for path in self.paths():
            tag = self.once(path).headers["etag"]
            for sent in (tag, f'"x", {tag}', "*"):
                self.assertEqual(self.once(path, If_Match=sent).status, 200)
            for sent in ('"x"', f"W/{tag}", tag.strip('"'), ""):
                reply = self.once(path, If_Match=sent)
                self.assertEqual(reply.status, 412, (path, sent))

    def test_differ(self) -> None:
        """What differs has another tag: by state, and by format."""
        started = self.begin()
        run = f"/runs/{started.run.id}"
        before = self.once(run).headers["etag"]
        page = Connection(self.site).ask("GET", "/", headers=HTML).headers["etag"]
        self.assertNotEqual(self.once("/").headers["etag"], page)
        started.exit()
        self.assertNotEqual(self.once(run).headers["etag"], before)
        self.assertEqual(self.once(run, If_None_Match=before).status, 200)
        self.assertEqual(self.once(run, If_Match=before).status, 412)
        for name in ("sse", "ndjson", "frames"):
            reply = self.once(f"{run}/output?format={name}", If_None_Match="*")
            self.assertEqual(reply.status, 200)
            self.assertNotIn("etag", reply.headers)

    def test_live(self) -> None:
        """The tag of live output says how much there was; more is another state."""
        started = self.begin()
        started.say(b"abc")
        path = f"/runs/{started.run.id}/output?follow=false"
        reply = self.once(path)
        tag = reply.headers["etag"]
        self.assertEqual((reply.headers["content-length"], reply.whole), ("3", True))
        self.assertEqual(self.once(path, If_None_Match=tag).status, 304)
        started.say(b"def")
        self.assertEqual(self.once(path, If_None_Match=tag).body, b"abcdef")
        # What is written never changes: a client that has some may ask for more.
        self.assertEqual(self.once(path, If_Match=tag).status, 200)
        ahead = tag.replace('-3"', '-7"')
        self.assertEqual(self.once(path, If_Match=ahead).status, 412)
        started.exit(1)
        reply = self.once(path, If_None_Match=tag.replace('-3"', '-6"'))
        self.assertEqual(reply.status, 304)
        self.assertEqual(reply.headers["shellstream-exit-code"], "1")

    def test_errors_first(self) -> None:
        """An error goes before 304 and 412 (RFC 9110, 13.2.1)."""
        started = self.begin()
        started.exit()
        for path, status in (
            ("/runs?limit=0", 400),
            ("/commands/none", 404),
            (f"/runs/{started.run.id}/output?offset=1", 416),
        ):
            for headers in ({"If_None_Match": "*"}, {"If_Match": '"x"'}):
                self.assertEqual(self.once(path, **headers).status, status)


class ChangeTests(PreconditionsTestCase):
    """A change that depends on a tag is not made in another state."""

    def test_delete(self) -> None:
        """A run is deleted only as the client knows it."""
        started = self.begin()
        started.exit()
        run = f"/runs/{started.run.id}"
        tag = self.once(run).headers["etag"]
        for headers in (
            {"If_Match": '"x"'},
            {"If_Match": f"W/{tag}"},
            {"If_None_Match": tag},
            {"If_None_Match": "*"},
        ):
            self.assertEqual(self.once(run, "DELETE", **headers).status, 412)
        reply = self.once(run, "DELETE", If_Match=tag, If_None_Match='"x"')
        self.assertEqual(reply.status, 204)

    def test_post(self) -> None:
        """What a POST changes has no tag: nothing is done in place of the wrong."""
        started = self.begin()
        for path in ("/runs", "/stream", f"/runs/{started.run.id}/cancel"):
            self.assertEqual(self.once(path, "POST", If_Match='"x"').status, 412)
        # GET, too, begins a run that has no tag yet.
        self.assertEqual(self.once("/stream", If_Match='"x"').status, 412)
        self.assertEqual(len(self.spawn.started), 1)
        self.assertEqual(started.child.signals, [])
        self.assertEqual(self.once("/stream", "POST", If_Match="*").status, 200)
