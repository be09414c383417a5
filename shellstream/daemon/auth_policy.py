"""Who has to say who they are, and what they are told to say at first."""

import shlex
import socket
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

from attrs import define, field
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress

from shellstream.model.events import WallClock
from shellstream.security.authorization import EVERYTHING
from shellstream.security.tokens import create_token
from shellstream.storage.token_store import TokenStore

#: Whose the token is that a daemon makes at its first start.
OWNER = "owner"


def is_wide(address: IAddress) -> bool:
    """Whether other machines may reach an address; where nobody knows, they may."""
    if isinstance(address, UNIXAddress):
        return False
    if isinstance(address, IPv4Address | IPv6Address):
        return not ip_address(address.host).is_loopback
    return True


def own_names() -> list[str]:
    """What this machine is called, by itself and by others of its network (mDNS)."""
    host = socket.gethostname().lower()
    short = host.partition(".")[0]
    return list(dict.fromkeys([host, short, f"{short}.local"]))


@define(eq=False)
class AuthPolicy:
    """
    Nobody has to say who they are where only this machine can connect, until there is
    a token, or somebody else who is known. Where others can, everybody has to.

    @ivar insecure: whether nobody has to, whatever there is: the operator says so.
    @ivar wide: whether others can.
    @ivar known: whether somebody may show who they are by other means than a token.
    @ivar first: the token that was made just now, if one was; for whoever shows it to
        take away.
    """

    tokens: TokenStore
    insecure: bool = False
    wide: bool = False
    known: bool = False
    first: str | None = field(default=None, init=False, repr=False)

    def open(self, clock: WallClock, *, keep: bool) -> None:
        """
        Know the tokens, and make one if nobody could get in.

        @param keep: whether there is a file that this may go into.
        @raise TokensUnusable: if they cannot be read, or that one cannot be kept.
        """
        self.tokens.start()
        if self.required and not self.known and not self.tokens.in_use:
            token, self.first = create_token(OWNER, EVERYTHING, clock())
            self.tokens.add(token, keep=keep)

    def close(self) -> None:
        """Have nothing more to do."""
        self.tokens.stop()

    @property
    def required(self) -> bool:
        """
        Whether who asks has to say who they are.

        It may come to be so, as soon as there is a token, but not cease to be so.
        """
        asked_for = self.wide or self.known or self.tokens.in_use
        return asked_for and not self.insecure

    def notices(self, folder: Path | None) -> Iterator[str]:
        """
        What the operator should know.

        @param folder: where tokens are kept, if anywhere.
        """
        if not self.required:
            return
        have = len(self.tokens)
        there = f"there {'is' if have == 1 else 'are'} {have or 'none'}"
        if folder is None:
            yield f"a token is asked for; {there}, and can be more with a --state-dir"
        else:
            tool = f"twistd shellstream --state-dir {shlex.quote(str(folder))} tokens"
            yield f"a token is asked for; {there}; to make one, type: {tool} make NAME"
