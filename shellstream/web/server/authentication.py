"""Who asks, and whether their browser was sent by somebody else."""

from collections.abc import Callable
from ipaddress import ip_address
from typing import Protocol

from attrs import define, field

from shellstream.model.errors import (
    CrossSiteRequest,
    TooManyFailures,
    Unauthenticated,
    WrongHost,
)
from shellstream.security.authorization import ANONYMOUS, Caller, Principal
from shellstream.security.certificates import names_of
from shellstream.security.login_sessions import Session, Sessions
from shellstream.security.login_throttle import LoginThrottle
from shellstream.security.principals import Access
from shellstream.security.request_origin import Names, Site, site_of

from .refusal_audit import host_of
from .request import Request

#: How many bytes of a credential are looked at; no token has more.
MAX_CREDENTIAL = 1024

#: Seconds between two looks for credentials that are no longer good.
WATCH = 1.0


class Tokens(Protocol):
    """See L{shellstream.security.tokens}."""

    def find(self, text: str) -> Principal | None:
        """Whose token this is, if it is good."""

    def is_valid(self, credential: str) -> bool:
        """Whether the token that a principal's credential names is still good."""


@define(eq=False)
class Authenticator:
    """
    Lets requests in that may come in at all, and remembers whose they are.

    @ivar names: the names that this daemon goes by.
    @ivar required: whether everybody has to say who they are.
    @ivar seconds: the time, which never jumps.
    @ivar wall: the time of day, in microseconds since 1970.
    """

    names: Names
    access: Access
    tokens: Tokens
    required: bool
    seconds: Callable[[], float]
    wall: Callable[[], int]
    sessions: Sessions = field(init=False)
    _failures: LoginThrottle = field(init=False)
    _open: "dict[Principal, set[Request]]" = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self.sessions = Sessions(self.seconds)
        self._failures = LoginThrottle(self.seconds)

    def check_host(self, request: Request) -> None:
        """
        Only for a name of ours is a request for us.

        @raise WrongHost: if it is for another's.
        """
        hosts = request.header_lines("host")
        if not hosts:
            return  # HTTP/1.0 needs none: of others L{strict.head} asks for one
        if not self.names.include(hosts[0]):
            raise WrongHost(hosts[0])

    def site(self, request: Request) -> Site:
        """Whose page made a browser send this."""
        return site_of(request.getHeader, self.access.origins)

    def check_origin(self, request: Request, *, starts: bool) -> None:
        """
        A page of another site may make its reader's browser send requests here.

        @param starts: whether this would start or change something.
        @raise CrossSiteRequest: if it is one that may not.
        """
        site = self.site(request)
        if site is Site.OTHER or (starts and site is Site.LINK):
            raise CrossSiteRequest

    def caller(self, request: Request) -> Caller | None:
        """
        Who sends a request; L{None} if they have not said.

        @raise Unauthenticated: if what they show is not, or no longer, good.
        @raise TooManyFailures: if that has happened too often.
        """
        address = self.address(request)
        principal = (
            self._by_header(request, address)
            or self._by_cookie(request)
            or self._by_certificate(request)
            or self._by_proxy(request)
        )
        if principal is None and not self.required:
            principal = ANONYMOUS
        return None if principal is None else Caller(principal, address)

    def by_token(self, text: str, address: str) -> Principal:
        """
        Whose token somebody shows.

        One that is right is never refused for the wrong ones of others that share
        an address: nobody guesses 256 bits, and nobody is to be locked out.

        @raise Unauthenticated: if it is not good.
        @raise TooManyFailures: if that has happened too often.
        """
        principal = self.tokens.find(text) if len(text) <= MAX_CREDENTIAL else None
        if principal is None:
            again = self._failures.one_more(address)
            if again:
                raise TooManyFailures(again)
            raise Unauthenticated("this token is not, or no longer, good")
        return principal

    def session(self, request: Request) -> Session | None:
        """The session of a browser whose user has shown a token."""
        cookie = request.getCookie(cookie_name(request))
        if cookie is None or len(cookie) > MAX_CREDENTIAL:
            return None
        found = self.sessions.find(cookie.decode("ascii", "replace"))
        return (
            found
            if found is not None and self.tokens.is_valid(found.login_credential)
            else None
        )

    def enter(self, request: Request, principal: Principal) -> None:
        """A request is under way; whoever's it is may lose the right to it."""
        if principal is not ANONYMOUS:
            self._open.setdefault(principal, set()).add(request)
            request.notifyFinish().addBoth(lambda _: self._leave(request, principal))

    def _leave(self, request: Request, principal: Principal) -> None:
        there = self._open.get(principal)
        if there is not None:
            there.discard(request)
            if not there:
                del self._open[principal]

    def watch(self) -> None:
        """Cut off whoever has lost the right to what they have opened."""
        for principal in list(self._open):
            if not self._live(principal):
                for request in list(self._open.get(principal, ())):
                    self._leave(request, principal)
                    request.abort()

    def _live(self, principal: Principal) -> bool:
        if principal.expires is not None and principal.expires <= self.wall():
            return False
        kind = principal.credential.partition(" ")[0]
        if kind == "session":
            within = self.sessions.login_credential_of(principal.credential)
            return within is not None and self.tokens.is_valid(within)
        return kind != "token" or self.tokens.is_valid(principal.credential)

    def address(self, request: Request) -> str:
        """Where a request is from, as far as a proxy that we trust says."""
        peer = _peer(request)
        if not self.access.trusts(peer):
            return peer
        lines = request.header_lines("x-forwarded-for")
        hops = [each.strip() for line in lines for each in line.split(",")]
        for hop in reversed(hops):
            try:
                ip_address(hop)
            except ValueError:
                break
            if not self.access.trusts(hop):
                return hop
        return peer

    def _by_header(self, request: Request, address: str) -> Principal | None:
        headers = request.header_lines("authorization")
        if not headers:
            return None
        scheme, _, rest = headers[0].partition(" ")
        token = ""  # nosec B105  # there is none, or two that nobody chooses from
        if len(headers) == 1 and scheme.lower() == "basic":
            token = request.getPassword().decode("utf-8", "replace")
        elif len(headers) == 1 and scheme.lower() == "bearer":
            token = rest.strip()
        if not self.required:  # it may be for a proxy
            return self.tokens.find(token) if len(token) <= MAX_CREDENTIAL else None
        return self.by_token(token, address)

    def _by_cookie(self, request: Request) -> Principal | None:
        session = self.session(request)
        return None if session is None else session.principal

    def _by_certificate(self, request: Request) -> Principal | None:
        shown = getattr(request.channel.transport, "getPeerCertificate", None)
        certificate = None if shown is None else shown()
        if certificate is None or not self.access.known:
            return None
        try:
            identity = names_of(certificate)
        except ValueError as error:
            raise Unauthenticated(f"the certificate cannot be read: {error}") from None
        expires = int(identity.not_after.timestamp() * 1_000_000)
        return self.access.by_certificate(map(str, identity.names), expires)

    def _by_proxy(self, request: Request) -> Principal | None:
        header = self.access.user_header
        if header is None or not self.access.trusts(_peer(request)):
            return None
        names = request.header_lines(header)
        if not names:
            return None
        name = names[0].strip()
        fits = 0 < len(name) <= 128 and name.isprintable() and len(names) == 1
        principal = self.access.by_proxy(name) if fits else None
        if principal is None:
            raise Unauthenticated("the proxy names somebody who is not known here")
        return principal


def cookie_name(request: Request) -> bytes:
    """
    The cookie of a session: browsers send those of all ports of a host to each.
    """
    _, _, port = (request.getHeader("host") or "").rpartition(":")
    return f"shellstream_{port}".encode() if port.isdigit() else b"shellstream"


def _peer(request: Request) -> str:
    return host_of(request.getClientAddress())
