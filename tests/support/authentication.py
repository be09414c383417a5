"""Shared by the tests of authentication: tokens, and a daemon that requires them."""

import json
from collections.abc import Iterator
from typing import Any

from attrs import define, evolve, field
from twisted.web.resource import Resource as TwistedResource

from shellstream.config.loader import Config
from shellstream.model.limits import Limits, WhenBusy
from shellstream.security.authorization import EVERYTHING, Action, Principal
from shellstream.web.resources.base import Resource
from shellstream.web.server.authentication import Authenticator
from tests.support.fakes import HEAR, SAY
from tests.support.http import Connection, FakePolicy, Reply, WebTestCase

ALL = frozenset(Action)

ALL = frozenset(Action)
JOINED = evolve(SAY, limits=Limits(max_running=1, when_busy=WhenBusy.JOIN))


@define(eq=False)
class FakeTokens:
    """Tokens that a test gives and takes."""

    there: dict[str, Principal] = field(factory=dict)

    def find(self, text: str) -> Principal | None:
        return self.there.get(text)

    def is_valid(self, credential: str) -> bool:
        return credential in {each.credential for each in self.there.values()}

    def make(self, name: str, **grant: Any) -> str:
        """Make a token with this grant."""
        text = f"token-of-{name}-{len(self.there)}"
        self.there[text] = Principal(
            name=name,
            grant=evolve(EVERYTHING, **grant),
            credential=f"token {len(self.there)}",
        )
        return text


class AuthenticationTestCase(WebTestCase):
    """A daemon that requires authentication."""

    config = evolve(
        WebTestCase.config, commands={**WebTestCase.config.commands, "hear": HEAR}
    )
    required = True

    def make_authenticator(self, config: Config) -> Authenticator:
        self.tokens = FakeTokens()
        made = super().make_authenticator(config)
        made.tokens, made.policy = self.tokens, FakePolicy(self.required)
        return made

    def by(
        self,
        token: str,
        method: str = "GET",
        path: str = "/",
        body: bytes | None = None,
        **headers: str,
    ) -> Reply:
        """Ask on a connection of its own, with a token."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named["Authorization"] = f"Bearer {token}"
        return Connection(self.site).ask(method, path, body, named)

    def run_by(self, token: str, command: str = "say") -> str:
        """Start a run as this principal, and return its id."""
        body = json.dumps({"command": command}).encode()
        reply = self.by(token, "POST", "/runs", body)
        self.assertEqual(reply.status, 201, reply)
        return reply.headers["shellstream-run"]

    def problem(self, reply: Reply) -> str:
        self.assertEqual(reply.headers["content-type"], "application/problem+json")
        detail: str = json.loads(reply.body)["detail"]
        return detail


def tree(resource: TwistedResource, path: str = "") -> Iterator[tuple[str, Resource]]:
    """Return every resource; C{*} stands for any name."""
    assert isinstance(resource, Resource), f"{path} has no rules: {resource!r}"
    yield path or "/", resource
    for name, child in resource.children.items():
        yield from tree(child, f"{path}/{name.decode()}")
