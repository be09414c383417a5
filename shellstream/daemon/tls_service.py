"""TLS for those who connect: with which certificate, and what becomes of others."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attrs import define, field
from OpenSSL import SSL, crypto
from twisted.application.service import Service
from twisted.internet.interfaces import (
    IOpenSSLServerConnectionCreator,
    IProtocolFactory,
)
from twisted.internet.ssl import AcceptableCiphers, CertificateOptions, TLSVersion
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from zope.interface import implementer

from shellstream.config.tls_settings import TLS, ClientCertificate, Minimum
from shellstream.model.errors import ShellstreamError
from shellstream.model.events import WallClock
from shellstream.security.certificates import fingerprint
from shellstream.storage import tls_files
from shellstream.storage.tls_files import Pair, Unusable
from shellstream.web.server.problem_details import PROBLEM, problem

from .service import DaemonCannotStart

_log = Logger(namespace="shellstream")

#: Seconds between two looks whether files have changed.
POLL = 5.0

#: Those with forward secrecy that authenticate what they encrypt. TLS 1.3 has no
#: others, and this is not for it.
CIPHERS = AcceptableCiphers.fromOpenSSLCipherString(
    "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL"
)

_VERSIONS = {
    Minimum.TLS_1_2: TLSVersion.TLSv1_2,
    Minimum.TLS_1_3: TLSVersion.TLSv1_3,
}


class SpokenPlainly(ShellstreamError):
    """A client speaks HTTP where TLS is spoken."""

    status = 400

    def __init__(self) -> None:
        super().__init__("this port speaks https; write https:// in place of http://")


def _plainly() -> bytes:
    body = problem(SpokenPlainly())
    head = f"Content-Type: {PROBLEM.decode()}\r\nContent-Length: {len(body)}\r\n"
    status = "HTTP/1.1 400 Bad Request\r\n"
    return f"{status}{head}Connection: close\r\n\r\n".encode() + body


class Encrypted(TLSMemoryBIOProtocol):
    """
    A connection over TLS; who speaks HTTP on it is told so.

    Unlike Twisted's usual one it encrypts in the turn in which something is written.
    Whoever does not come to speak HTTP on it is cut as on any other connection: its
    time runs from when it is accepted.
    """

    transport: Any  # a TCP one
    #: Whether to go on reading, once all is said, until the client has closed.
    lingers = False
    _begun = False

    def dataReceived(self, bytes: bytes) -> None:  # noqa: A002  # Twisted's name
        if not self._begun:
            self._begun = True
            if bytes[:1].isalpha():  # no record of TLS begins so (RFC 8446, 5.1)
                self.transport.write(_plainly())
                self.transport.loseConnection()
                return
        super().dataReceived(bytes)

    def _shutdownTLS(self) -> None:
        super()._shutdownTLS()
        # Twisted waits for the client to say goodbye as well, which nobody has to
        # (RFC 8446, 6.1): silent ones would stay. Were it renamed, a test would tell.
        if not self.lingers:
            self.transport.loseConnection()


def context(pair: Pair, authorities: Iterable[Any], settings: TLS) -> SSL.Context:
    """
    What makes connections.

    @param authorities: those whose certificates clients may show.
    @raise Unusable: if OpenSSL does not take them.
    """
    try:
        leaf, *behind = map(crypto.X509.from_cryptography, pair.chain)
        trusted = list(map(crypto.X509.from_cryptography, authorities))
        required = settings.client_certificate is ClientCertificate.REQUIRED
        made = CertificateOptions(
            privateKey=crypto.PKey.from_cryptography_key(pair.key),
            certificate=leaf,
            extraCertChain=behind,
            raiseMinimumTo=_VERSIONS[settings.minimum],
            acceptableCiphers=CIPHERS,
            verify=bool(trusted),
            caCerts=trusted,
            requireCertificate=required,
        ).getContext()
        made.set_options(SSL.OP_NO_RENEGOTIATION)
        for each in trusted:
            made.add_client_ca(each)  # so that a browser knows which to offer
    except (SSL.Error, crypto.Error, TypeError) as error:
        raise Unusable(f"{pair.where}: {_reason(error)}") from None
    return made


def _reason(error: Exception) -> str:
    """What OpenSSL says, in its words."""
    first = error.args[0] if error.args else ""
    return str(first[-1][-1]) if first and isinstance(first, list) else str(error)


@implementer(IOpenSSLServerConnectionCreator)
@define(eq=False)
class Encryption(Service):
    """
    Holds the certificate that whoever connects next is shown. When its files have
    changed it is the new one, once all of them are right; open connections go on.

    @ivar fingerprint: of a certificate that no authority has signed, and that clients
        have to know therefore.
    """

    _settings: TLS
    _folder: Callable[[], Path | None]
    _names: Callable[[], Iterable[str]]
    _reactor: Any
    _wall_clock: WallClock
    fingerprint: str | None = field(default=None, init=False)
    _own: Pair | None = field(default=None, init=False)
    _context: SSL.Context = field(init=False)
    _seen: tuple[object, ...] = field(default=(), init=False)
    _told: str = field(default="", init=False)
    _polling: LoopingCall | None = field(default=None, init=False)

    def wrap(self, factory: IProtocolFactory) -> IProtocolFactory:
        """The same, over TLS."""
        wrapping = TLSMemoryBIOFactory(self, False, factory, self._reactor)
        wrapping.protocol = Encrypted
        return wrapping

    def serverConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        return SSL.Connection(self._context)

    def privilegedStartService(self) -> None:
        super().privilegedStartService()
        if self._settings.certificate is not None:
            # While we are who may read it: another user may take over after this.
            self._begin()

    def startService(self) -> None:
        super().startService()
        if self._settings.certificate is None:
            self._begin()
        if self._files:
            self._polling = LoopingCall(self._look)
            self._polling.clock = self._reactor
            self._polling.start(POLL, now=False)

    def stopService(self) -> None:
        super().stopService()
        if self._polling is not None:
            self._polling.stop()

    @property
    def _files(self) -> list[str]:
        found = (
            self._settings.certificate,
            self._settings.key,
            self._settings.client_ca,
        )
        return [path for path in found if path is not None]

    def _begin(self) -> None:
        try:
            if self._settings.certificate is None:
                self._own = self._self_signed()
                self.fingerprint = fingerprint(self._own.chain[0])
            self._seen = tls_files.stamp(self._files)
            pair = self._load()
        except Unusable as error:
            raise DaemonCannotStart(f"shellstream: {error}") from None
        _log.info("{line}", line=f"TLS with the certificate in {_about(pair)}")

    def _self_signed(self) -> Pair:
        folder, names = self._folder(), self._names()
        now = datetime.fromtimestamp(self._wall_clock() // 1_000_000, UTC)
        if folder is not None:
            return tls_files.kept(folder, names, now)
        _log.warn(
            "there is no folder to keep the certificate in: it is made anew at each "
            "start, and clients have to pin anew"
        )
        return tls_files.made(names, now)

    def _load(self) -> Pair:
        """Take what the files hold, all of it or nothing."""
        settings, pair = self._settings, self._own
        if settings.certificate is not None:
            assert settings.key is not None
            pair = tls_files.read_pair(settings.certificate, settings.key)
        assert pair is not None
        authorities: Iterable[Any] = ()
        if settings.client_ca is not None:
            authorities = tls_files.read_authorities(settings.client_ca)
        self._context = context(pair, authorities, settings)
        return pair

    def _look(self) -> None:
        found = tls_files.stamp(self._files)
        if found == self._seen:
            return
        self._seen = found
        try:
            pair = self._load()
        except Unusable as error:
            if str(error) != self._told:  # several looks may fall into one writing
                self._told = str(error)
                going = "the certificate of before stays in use until that is right"
                _log.error("{error}; {going}", error=error, going=going)
            return
        self._told = ""
        line = f"from now on TLS with the certificate in {_about(pair)}"
        _log.info("{line}", line=line)


def _about(pair: Pair) -> str:
    until = pair.chain[0].not_valid_after_utc.date()
    return f"{pair.where}, until {until}: fingerprint {fingerprint(pair.chain[0])}"
