"""C{[tls]} of the configuration: with which certificate, and for whom."""

from enum import Enum

from attrs import frozen

from shellstream.model import tables
from shellstream.model.tables import NotAllowed, Table


class Minimum(Enum):
    """The oldest version of TLS that is spoken."""

    TLS_1_2 = "1.2"
    TLS_1_3 = "1.3"


class ClientCertificate(Enum):
    """Whether clients have to show a certificate, where they may."""

    OPTIONAL = "optional"
    REQUIRED = "required"


@frozen(kw_only=True)
class TLS:
    """
    How TLS is spoken. All files are PEM, by their absolute names.

    @ivar certificate: the daemon's own, and those of its authorities behind it; if
        there is none, one is made that no authority has signed.
    @ivar key: the key of C{certificate}; may be the same file.
    @ivar client_ca: whose certificates clients may show; L{None} if they may not.
    """

    certificate: str | None = None
    key: str | None = None
    client_ca: str | None = None
    client_certificate: ClientCertificate = ClientCertificate.OPTIONAL
    minimum: Minimum = Minimum.TLS_1_2


def read(table: Table) -> TLS:
    """Read C{[tls]}."""
    found = TLS(
        certificate=table.read("certificate", _file, None),
        key=table.read("key", _file, None),
        client_ca=table.read("client_ca", _file, None),
        client_certificate=table.read(
            "client_certificate",
            tables.one_of(ClientCertificate),
            ClientCertificate.OPTIONAL,
        ),
        minimum=table.read("minimum", tables.one_of(Minimum), Minimum.TLS_1_2),
    )
    for one, other in (("certificate", "key"), ("key", "certificate")):
        if one in table and other not in table:
            allowed = f"a file beside {one}, which may be the same one; or neither"
            table.report(other, "nothing", allowed)
    if "client_certificate" in table and "client_ca" not in table:
        table.report("client_ca", "nothing", "the authorities of client certificates")
    table.report_unknown()
    return found


def _file(value: object) -> str:
    try:
        return tables.folder(value)
    except NotAllowed:
        raise NotAllowed("an absolute path, such as '/etc/ssl/my.pem'") from None
