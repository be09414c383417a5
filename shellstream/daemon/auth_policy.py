"""Whether clients have to authenticate, and the token for a first start."""

import shlex
from pathlib import Path

from attrs import define, field

from shellstream.model.events import WallClock
from shellstream.programs import typed
from shellstream.security.authorization import EVERYTHING
from shellstream.security.tokens import create_token
from shellstream.storage.token_store import TokenStore

#: The name of the token that a daemon makes at its first start.
OWNER = "owner"


def tokens_command(folder: Path) -> str:
    """The command line of the token tool for a state folder, without a subcommand."""
    return f"{typed('shellstreamd')} --state-dir {shlex.quote(str(folder))} tokens"


@define(eq=False)
class AuthPolicy:
    """
    Whether clients have to authenticate.

    Authentication is required once a credential exists, or when the daemon listens
    beyond loopback. Once required, it stays required: L{TokenStore.in_use} stays true
    when the last token is revoked.

    @ivar insecure: the operator wants no authentication, whatever else is true.
    @ivar exposed: other machines can connect.
    @ivar has_principals: principals are configured, which authenticate by certificate
        or proxy.
    """

    tokens: TokenStore
    insecure: bool = False
    exposed: bool = False
    has_principals: bool = False
    _first_token: str | None = field(default=None, init=False, repr=False)

    def start(self, clock: WallClock, *, on_terminal: bool) -> None:
        """
        Read the tokens, and make one if no client could authenticate otherwise.

        @param on_terminal: whether the operator will see a token. A file, a pipe or the
            journal would keep it, for all who may read that: there the daemon makes no
            token.
        @raise TokensUnusable: if they cannot be read, or that one cannot be saved.
        """
        self.tokens.start()
        # Where a file was, even an empty one, the operator has decided who gets in.
        if self.admits_nobody and not self.tokens.in_use and on_terminal:
            token, text = create_token(OWNER, EVERYTHING, clock())
            self.tokens.add(token)
            self._first_token = text

    @property
    def required(self) -> bool:
        """Whether clients have to authenticate now."""
        exists = self.exposed or self.has_principals or self.tokens.in_use
        return exists and not self.insecure

    @property
    def admits_nobody(self) -> bool:
        """Whether clients have to authenticate, and none could."""
        return self.required and not self.has_principals and not len(self.tokens)

    def pop_first_token(self) -> str | None:
        """The text of the token that this start made: to the first caller only."""
        token, self._first_token = self._first_token, None
        return token

    def notice(self, folder: Path | None) -> str:
        """
        What the operator should know at the start, if authentication is required.

        @param folder: the state folder, if there is one.
        """
        known = f"authentication is required; valid tokens: {len(self.tokens)}"
        if folder is None:
            return f"{known}; to make more, start with a --state-dir"
        return f"{known}; to make one, type: {tokens_command(folder)} make NAME"
