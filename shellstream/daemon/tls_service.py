"""TLS: which certificate clients see, and what happens to those who speak HTTP."""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from attrs import define, evolve, field, frozen
from OpenSSL import SSL, crypto
from twisted.application.service import Service
from twisted.internet.interfaces import (
    IOpenSSLServerConnectionCreator,
    IProtocolFactory,
)
from twisted.internet.protocol import connectionDone
from twisted.internet.ssl import AcceptableCiphers, CertificateOptions, TLSVersion
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from shellstream.config.loader import Config
from shellstream.config.tls_settings import TLS, ClientCertificate, Minimum
from shellstream.model.errors import ShellstreamError
from shellstream.model.events import WallClock, utc
from shellstream.security.certificates import fingerprint
from shellstream.storage import tls_files
from shellstream.storage.tls_files import CertifiedKey, TLSFileUnusable
from shellstream.web.server.authentication import REVOCATION_INTERVAL
from shellstream.web.server.problem_details import PROBLEM, problem

from .client_certificates import ClientCertificates
from .errors import stopping_on
from .listener import HTTP_VERSIONS

_log = Logger(namespace="shellstream")

#: Seconds between two looks whether files have changed.
POLL_INTERVAL = 5.0

#: For TLS 1.2, only ciphers with forward secrecy and authenticated encryption. TLS 1.3
#: has no others, and its list is a separate one.
CIPHERS = AcceptableCiphers.fromOpenSSLCipherString(
    "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL"
)

_VERSIONS = {
    Minimum.TLS_1_2: TLSVersion.TLSv1_2,
    Minimum.TLS_1_3: TLSVersion.TLSv1_3,
}


class PlainHTTP(ShellstreamError):
    """A client speaks HTTP on a port that speaks TLS."""

    status = 400
    text = "this port speaks https; write https:// in place of http://"


def _plain_http_answer() -> bytes:
    body = problem(PlainHTTP())
    head = f"Content-Type: {PROBLEM.decode()}\r\nContent-Length: {len(body)}\r\n"
    status = "HTTP/1.1 400 Bad Request\r\n"
    return f"{status}{head}Connection: close\r\n\r\n".encode() + body


class TLSProtocol(TLSMemoryBIOProtocol):
    """
    A connection over TLS.

    L{TLSMemoryBIOProtocol} encrypts a write at once, where Twisted's usual subclass
    waits for the next turn of the event loop. The time for a handshake is bounded by
    the time for a request's headers, which runs from the start of the connection.
    """

    transport: Any  # a TCP one
    connection: SSL.Connection
    #: Whether to go on reading after the last write, until the client has closed.
    lingers = False
    _begun = False

    def __init__(self, service: "TLSService", *given: Any) -> None:
        self._service = service
        self._verified_by = service.certificates.store
        super().__init__(*given)

    def is_client_valid(self) -> bool:
        """Whether a certificate that the client has shown is still valid."""
        return self._service.certificates.is_valid(self, self._verified_by)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._service.certificates.discard(self)
        super().connectionLost(reason)

    def dataReceived(self, bytes: bytes) -> None:  # noqa: A002  # Twisted's name
        if not self._begun:
            self._begun = True
            if bytes[:1].isalpha():  # no TLS record begins so (RFC 8446, 5.1)
                self.transport.write(_plain_http_answer())
                self.transport.loseConnection()
                return
        super().dataReceived(bytes)

    def _shutdownTLS(self) -> None:
        super()._shutdownTLS()
        # Twisted waits for the client's close_notify, which clients may leave out
        # (RFC 8446, 6.1): connections of silent clients would stay open. This method
        # is private in Twisted; a test fails if it is renamed.
        if not self.lingers:
            self.transport.loseConnection()


def make_context(
    certified: CertifiedKey, trusted: list[crypto.X509], settings: TLS
) -> SSL.Context:
    """
    The settings of new connections.

    @param trusted: the certificates that may sign client certificates.
    @raise TLSFileUnusable: if OpenSSL refuses one of them.
    """
    try:
        leaf, *behind = map(crypto.X509.from_cryptography, certified.chain)
        required = settings.client_certificate is ClientCertificate.REQUIRED
        context = CertificateOptions(
            privateKey=crypto.PKey.from_cryptography_key(certified.key),
            certificate=leaf,
            extraCertChain=behind,
            raiseMinimumTo=_VERSIONS[settings.minimum],
            acceptableCiphers=CIPHERS,
            verify=bool(trusted),
            caCerts=trusted,
            requireCertificate=required,
        ).getContext()
        context.set_options(SSL.OP_NO_RENEGOTIATION)
        context.set_alpn_select_callback(_choose_protocol)
        for each in trusted:
            context.add_client_ca(each)  # a browser offers only certificates of these
    except (SSL.Error, crypto.Error, TypeError) as error:
        raise TLSFileUnusable(f"{certified.source}: {_reason(error)}") from None
    return context


def _choose_protocol(connection: SSL.Connection, offered: list[bytes]) -> bytes:
    """
    The version of HTTP to speak (ALPN, RFC 7301).

    @raise SSL.Error: if the client speaks none of ours. pyOpenSSL makes the alert
        C{no_application_protocol} of any error.
    """
    for each in HTTP_VERSIONS:
        if each in offered:
            return each
    raise SSL.Error([("", "", "the client speaks no version of HTTP that we do")])


def _reason(error: Exception) -> str:
    """OpenSSL's own words, from the list of triples in its errors."""
    first = error.args[0] if error.args else ""
    return str(first[-1][-1]) if first and isinstance(first, list) else str(error)


@frozen
class _Loaded:
    """
    What is made of the settings and their files.

    @ivar self_signed: the certificate, if no file has one.
    @ivar stamps: tell whether the files have changed since.
    @ivar about: how the log names it.
    """

    settings: TLS
    context: SSL.Context
    trusted: list[crypto.X509]
    self_signed: CertifiedKey | None
    stamps: tuple[object, ...]
    about: str


@implementer(IOpenSSLServerConnectionCreator)
@define(eq=False)
class TLSService(Service):
    """
    Makes TLS connections with the current certificate.

    When files or settings have changed, and all of them are right, new connections use
    the new ones; open connections go on.

    @ivar fingerprint: of a self-signed certificate, which clients have to pin.
    """

    _settings: TLS
    _folder: Callable[[], Path | None]
    _names: Callable[[], Iterable[str]]
    _reactor: Any
    _wall_clock: WallClock
    fingerprint: str | None = field(default=None, init=False)
    certificates: ClientCertificates = field(init=False)
    _loaded: _Loaded | None = field(default=None, init=False)
    _last_error: str = field(default="", init=False)
    _loops: list[LoopingCall] = field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        self.certificates = ClientCertificates(self._wall_clock)

    def wrap(self, factory: IProtocolFactory) -> IProtocolFactory:
        """The same factory over TLS."""
        wrapping = TLSMemoryBIOFactory(self, False, factory, self._reactor)
        wrapping.protocol = partial(TLSProtocol, self)  # type: ignore[assignment]
        return wrapping

    def serverConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        assert isinstance(protocol, TLSProtocol)
        assert self._loaded is not None
        protocol.connection = SSL.Connection(self._loaded.context)
        return protocol.connection

    def privilegedStartService(self) -> None:
        super().privilegedStartService()
        if self._settings.certificate is not None:
            # twistd drops root's privileges after this, and often only root may read
            # the key.
            self._load_first()

    def startService(self) -> None:
        super().startService()
        if self._loaded is None:
            self._load_first()
        self._repeat(self._poll, POLL_INTERVAL)
        self._repeat(self.certificates.abort_invalid, REVOCATION_INTERVAL)

    def stopService(self) -> None:
        super().stopService()
        while self._loops:
            self._loops.pop().stop()

    def prepare(self, config: Config) -> Callable[[], object]:
        """@see: L{shellstream.daemon.configuration.reload.Part}"""
        assert config.tls is not None  # or it would need a restart
        return partial(self._use, self._load(config.tls))

    def _repeat(self, call: Callable[[], object], interval: float) -> None:
        loop = LoopingCall(call)
        loop.clock = self._reactor
        loop.start(interval, now=False)
        self._loops.append(loop)

    def _load_first(self) -> None:
        with stopping_on(TLSFileUnusable):
            loaded = self._load(self._settings)
        self._use(loaded)
        _log.info("TLS with the certificate in {about}", about=loaded.about)

    def _make_self_signed(self) -> CertifiedKey:
        folder, names = self._folder(), self._names()
        now = utc(self._wall_clock())
        if folder is not None:
            return tls_files.load_or_create(folder, names, now)
        _log.warn(
            "there is no state folder for the certificate: each start makes another, "
            "and clients have to pin anew"
        )
        return tls_files.create(names, now)

    def _load(self, settings: TLS) -> _Loaded:
        """
        Load all files.

        @raise TLSFileUnusable: if one of them is not right.
        """
        stamps = tls_files.stamp(_files(settings))
        self_signed: CertifiedKey | None = None
        if settings.certificate is not None:
            assert settings.key is not None
            certified = tls_files.read_certified_key(settings.certificate, settings.key)
        else:
            known = None if self._loaded is None else self._loaded.self_signed
            certified = self_signed = known or self._make_self_signed()
        authorities: Iterable[Any] = ()
        if settings.client_ca is not None:
            authorities = tls_files.read_authorities(settings.client_ca)
        trusted = list(map(crypto.X509.from_cryptography, authorities))
        context = make_context(certified, trusted, settings)
        leaf = certified.chain[0]
        until = leaf.not_valid_after_utc.date()
        about = f"{certified.source}, until {until}: fingerprint {fingerprint(leaf)}"
        return _Loaded(settings, context, trusted, self_signed, stamps, about)

    def _use(self, loaded: _Loaded) -> None:
        """Put in force what was loaded."""
        before, self._loaded = self._loaded, loaded
        self.certificates.trust(loaded.trusted)
        own = loaded.self_signed
        self.fingerprint = None if own is None else fingerprint(own.chain[0])
        self._last_error = ""
        if before is not None and (
            (before.settings, before.stamps) != (loaded.settings, loaded.stamps)
        ):
            _log.info(
                "from now on TLS with the certificate in {about}", about=loaded.about
            )

    def _poll(self) -> None:
        before = self._loaded
        assert before is not None
        found = tls_files.stamp(_files(before.settings))
        if found == before.stamps:
            return
        try:
            loaded = self._load(before.settings)
        except TLSFileUnusable as error:
            # Not read again before it changes again.
            self._loaded = evolve(before, stamps=found)
            if str(error) != self._last_error:  # a file may be half written for a while
                self._last_error = str(error)
                until = "{error}; until then the certificate stays the old one"
                _log.error(until, error=error)
            return
        self._use(loaded)


def _files(settings: TLS) -> list[str]:
    found = (settings.certificate, settings.key, settings.client_ca)
    return [path for path in found if path is not None]
