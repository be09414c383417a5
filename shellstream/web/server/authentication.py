"""Who sends a request: by token, login cookie, client certificate or trusted proxy."""

from collections.abc import Callable, Sequence
from typing import Protocol

from attrs import define, field

from shellstream.model.errors import TooManyFailures, Unauthenticated, WrongHost
from shellstream.security.authorization import ANONYMOUS, Principal
from shellstream.security.login_sessions import LoginSession, LoginSessions
from shellstream.security.login_throttle import LoginThrottle
from shellstream.security.principals import AccessSettings
from shellstream.security.request_origin import (
    ORIGIN_HEADERS,
    HostNames,
    RequestOrigin,
    is_loopback_name,
    origin_of,
)

from .forwarded import (
    forwarded_for,
    forwarded_user,
    mark_of_proxy,
    x_forwarded_for,
)
from .request import Request

#: How many bytes of a credential are looked at; no token has more.
MAX_CREDENTIAL = 1024

#: Seconds between two checks whether the credentials of open requests are still valid.
REVOCATION_INTERVAL = 1.0


class Tokens(Protocol):
    """The tokens that are known: see L{shellstream.security.tokens}."""

    def find(self, text: str) -> Principal | None:
        """The principal of a valid token; L{None} for any other text."""

    def is_valid(self, credential: str) -> bool:
        """Whether the token that a principal's credential names is still valid."""


class Policy(Protocol):
    """See L{shellstream.daemon.auth_policy}."""

    @property
    def required(self) -> bool:
        """Whether clients have to authenticate now."""

    @property
    def insecure(self) -> bool:
        """Whether the operator wants no authentication, whatever else is true."""


@define(eq=False)
class Authenticator:
    """
    Identifies callers, and ends what they have open once their credential is revoked.

    @ivar names: the names that this daemon goes by.
    @ivar policy: whether a caller without credentials is refused.
    @ivar seconds: the time, which never jumps.
    @ivar wall: the time of day, in microseconds since 1970.
    """

    names: HostNames
    access: AccessSettings
    tokens: Tokens
    policy: Policy
    seconds: Callable[[], float]
    wall: Callable[[], int]
    sessions: LoginSessions = field(init=False)
    _throttle: LoginThrottle = field(init=False)
    _open: "dict[Principal, set[Request]]" = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self.sessions = LoginSessions(self.seconds)
        self._throttle = LoginThrottle(self.seconds)

    def follow(self, names: HostNames, access: AccessSettings) -> None:
        """
        Other settings hold from now on. Requests of principals that these do not know,
        or know with other rights, are reset; their clients may come back.
        """
        before, self.names, self.access = self.access, names, access
        # A proxy that is not trusted any more has named others, too.
        distrusted = before.user_header != access.user_header or not (
            {*before.proxies} <= {*access.proxies}
        )

        def is_valid(principal: Principal) -> bool:
            name = principal.name
            if principal.credential == "proxy":
                return not distrusted and access.by_proxy(name) == principal
            known = before.known.get(name), access.known.get(name)
            return principal.credential != "certificate" or known[0] == known[1]

        self._abort_unless(is_valid)

    def check_host(self, request: Request) -> None:
        """
        Check that a request is for a name of this daemon.

        A page that came here by DNS rebinding has no token and no cookie of ours. So
        another name is allowed where one of these is shown; L{authenticate} sees that
        nothing else counts then. It is also allowed to a request that came through a
        proxy, which must show one in any case, and is told so.

        @raise WrongHost: if the name is not this daemon's.
        """
        # Only HTTP/1.0 may leave it out: see request_syntax.parse_head().
        host, channel = request.header("host"), request.channel
        if host is None or host == channel.allowed_host:
            return
        if self.names.allow(host):
            channel.allowed_host = host
            channel.is_local_host = is_loopback_name(host)
            return
        shown = "authorization" in request.received or "cookie" in request.received
        if self.policy.insecure or not (shown or self._came_through_proxy(request)):
            raise WrongHost(host)
        request.unknown_host = host

    def check_certificate(self, request: Request) -> None:
        """
        @raise Unauthenticated: if its connection has shown a certificate that has
            become invalid since.
        """
        is_valid = getattr(request.channel.transport, "is_client_valid", None)
        if is_valid is not None and not is_valid():
            raise Unauthenticated(
                "the client certificate of this connection has expired, or its "
                "authority is not trusted any more; connect again, with another one"
            )

    def origin(self, request: Request) -> RequestOrigin:
        """The kind of page that made a browser send a request."""
        if ORIGIN_HEADERS.isdisjoint(request.received):  # no browser sent it
            return RequestOrigin.OWN
        return origin_of(request.header_lines, self.access.origins)

    def client_address(self, request: Request) -> str:
        """Where a request is from, as far as trusted proxies say."""
        peer = request.channel.peer_host
        if not self.access.proxies:
            return peer
        # A listed proxy may have passed on, by a PROXY header, the connection of a
        # client that is none, and that may write any address into the others.
        if not self._is_from_proxy(request) or not self.access.is_proxy(peer):
            return peer
        found = {
            self._first_stranger(hops) or peer
            for hops in (
                x_forwarded_for(request.header_lines("x-forwarded-for")),
                forwarded_for(request.header_lines("forwarded")),
            )
            if hops
        }
        # A proxy that writes one of the two headers passes the client's other one on:
        # if they disagree, neither is believed.
        return found.pop() if len(found) == 1 else peer

    def _first_stranger(self, hops: Sequence[str | None]) -> str | None:
        """The last hop that is no trusted proxy, as each proxy appends its client."""
        for hop in reversed(hops):
            if hop is None or not self.access.is_proxy(hop):
                return hop
        return None

    def _is_from_proxy(self, request: Request) -> bool:
        """Whether the socket's own peer is a listed proxy, whatever a header says."""
        return self.access.is_proxy(request.channel.socket_host)

    def _came_through_proxy(self, request: Request) -> str:
        """What shows that a request came through a proxy; empty if nothing does."""
        mark = mark_of_proxy(request.received, request.clientproto)
        if mark:
            return f"its header {mark.title()}"
        if request.channel.is_proxied:
            return "its PROXY header"
        if self.access.proxies and self._is_from_proxy(request):
            return "its address, one of proxies in [access]"
        return ""

    def authenticate(self, request: Request, session: LoginSession | None) -> Principal:
        """
        The principal of a request.

        @param session: what L{find_session} found.
        @raise Unauthenticated: if its credential is not valid, or required and missing.
        @raise TooManyFailures: if an address has shown too many that are not.
        """
        # What a request itself shows comes before what its connection or a proxy shows:
        # a client that sends a token means that one.
        principal = self._by_header(request)
        if principal is None and session is not None:
            principal = session.principal
        if principal is not None:
            return principal
        principal = self._by_certificate(request) or self._by_proxy(request)
        if principal is None:
            self._check_anonymous(request)
        if request.unknown_host is not None:
            # A browser, or the proxy, shows these for pages of any site.
            raise WrongHost(request.unknown_host)
        return principal or ANONYMOUS

    def _check_anonymous(self, request: Request) -> None:
        """
        Check whether a request needs no credential: that of a client on this machine,
        as long as no credential exists.

        @raise Unauthenticated: if it needs one.
        """
        if self.policy.required:
            raise Unauthenticated
        if self.policy.insecure:
            return
        sign = self._came_through_proxy(request)
        if not sign and not request.channel.is_local_host:
            sign = "its Host, which is no name of loopback"
        if sign:
            raise Unauthenticated(
                "this needs a token, since the request came through a proxy, as "
                f"{sign}, shows; only direct requests from this machine need none"
            )

    def check_token(self, text: str, address: str) -> Principal:
        """
        The principal of a token.

        A valid token is never refused for the wrong ones of others that share an
        address: nobody guesses 256 bits, and nobody must be locked out.

        @raise Unauthenticated: if it is not valid.
        @raise TooManyFailures: if too many from this address were not.
        """
        principal = self._find_token(text)
        if principal is None:
            again = self._throttle.record_failure(address)
            if again:
                raise TooManyFailures(again)
            raise Unauthenticated("this token is unknown, revoked or expired")
        return principal

    def _find_token(self, text: str) -> Principal | None:
        return self.tokens.find(text) if len(text) <= MAX_CREDENTIAL else None

    def find_session(self, request: Request) -> LoginSession | None:
        """The login session that a browser's cookie names, if it is valid."""
        if "cookie" not in request.received:
            return None
        cookie = request.getCookie(cookie_name(request))
        if cookie is None or len(cookie) > MAX_CREDENTIAL:
            return None
        found = self.sessions.find(cookie.decode("ascii", "replace"))
        if found is None or not self.tokens.is_valid(found.login_credential):
            return None
        return found

    def track(self, request: Request, principal: Principal) -> None:
        """Have L{abort_revoked} watch a request until it ends."""
        # Without credentials there is nothing to revoke.
        if principal is not ANONYMOUS:
            self._open.setdefault(principal, set()).add(request)
            request.notifyFinish().addBoth(lambda _: self._untrack(request, principal))

    def _untrack(self, request: Request, principal: Principal) -> None:
        requests = self._open.get(principal)
        if requests is not None:
            requests.discard(request)
            if not requests:
                del self._open[principal]

    def abort_revoked(self) -> None:
        """Reset the requests whose credentials are no longer valid."""
        self._abort_unless(self._is_valid)

    def _abort_unless(self, is_valid: Callable[[Principal], bool]) -> None:
        for principal in list(self._open):
            if not is_valid(principal):
                for request in list(self._open.get(principal, ())):
                    self._untrack(request, principal)
                    request.abort()

    def _is_valid(self, principal: Principal) -> bool:
        if principal.expires is not None and principal.expires <= self.wall():
            return False
        kind = principal.credential.partition(" ")[0]
        if kind == "session":
            token = self.sessions.login_credential_of(principal.credential)
            return token is not None and self.tokens.is_valid(token)
        return kind != "token" or self.tokens.is_valid(principal.credential)

    def _by_header(self, request: Request) -> Principal | None:
        if "authorization" not in request.received:
            return None
        headers = request.header_lines("authorization")
        scheme, _, rest = headers[0].partition(" ")
        token = ""  # nosec B105  # another scheme, or two headers: no choice is safe
        if len(headers) == 1 and scheme.lower() == "basic":
            token = request.getPassword().decode("utf-8", "replace")
        elif len(headers) == 1 and scheme.lower() == "bearer":
            token = rest.strip()
        # It may be for a proxy, which has checked it, and names the user.
        named = self.access.user_header in request.received
        if not self.policy.required or (named and self._is_from_proxy(request)):
            return self._find_token(token)
        return self.check_token(token, request.address)

    def _by_certificate(self, request: Request) -> Principal | None:
        if not self.access.known:
            return None
        shown = getattr(request.channel.transport, "getPeerCertificate", None)
        certificate = None if shown is None else shown()
        if certificate is None:
            return None
        # Without TLS the daemon saves the memory that libraries for it take.
        from shellstream.security.certificates import identity_of

        try:
            identity = identity_of(certificate)
        except ValueError as error:
            raise Unauthenticated(f"the certificate cannot be read: {error}") from None
        expires = int(identity.not_after.timestamp() * 1_000_000)
        if expires <= self.wall():  # of an endpoint that is not ours, as ssl:
            raise Unauthenticated("the client certificate has expired")
        return self.access.by_certificate(identity.names, expires)

    def _by_proxy(self, request: Request) -> Principal | None:
        header = self.access.user_header
        if header is None or not self._is_from_proxy(request):
            return None
        names = request.header_lines(header)
        if header == "forwarded":
            names = list(forwarded_user(names))
        if not names:
            return None
        name = names[0].strip()
        fits = 0 < len(name) <= 128 and name.isprintable() and len(names) == 1
        principal = self.access.by_proxy(name) if fits else None
        if principal is None:
            raise Unauthenticated("the proxy names somebody who is not known here")
        return principal


def cookie_name(request: Request) -> bytes:
    """The name of the login cookie: browsers send a host's cookies to all its ports."""
    _, _, port = (request.header("host") or "").rpartition(":")
    return f"shellstream_{port}".encode() if port.isdigit() else b"shellstream"
