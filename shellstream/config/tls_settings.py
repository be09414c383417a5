"""How TLS is spoken: the table C{[tls]} of the configuration."""

from enum import Enum

from attrs import frozen

from shellstream.model.checks import matching, one_of
from shellstream.model.tables import Table, setting

#: The prefix of endpoints that speak it.
TLS_PREFIX = "tls:"


class Minimum(Enum):
    """The oldest version of TLS that is allowed."""

    TLS_1_2 = "1.2"  # RFC 8996 forbids all before
    TLS_1_3 = "1.3"


class ClientCertificate(Enum):
    """Whether clients must show a certificate, where they may show one."""

    OPTIONAL = "optional"
    REQUIRED = "required"


_file = matching(r"/[^\x00]*", "an absolute path, such as '/etc/ssl/my.pem'")


@frozen(kw_only=True)
class TLS:
    """How TLS is spoken. All files are PEM."""

    certificate: str | None = setting(
        "The daemon's certificate, with those of its authorities behind it. Without "
        "it, the daemon makes one that no authority has signed.",
        _file,
        None,
    )
    key: str | None = setting(
        "The private key of `certificate`; it may be the same file.", _file, None
    )
    client_ca: str | None = setting(
        "The authorities whose certificates clients may show.", _file, None
    )
    client_certificate: ClientCertificate = setting(
        "Whether every client must show a certificate.",
        one_of(ClientCertificate),
        ClientCertificate.OPTIONAL,
    )
    minimum: Minimum = setting(
        "The oldest version of TLS that is allowed.", one_of(Minimum), Minimum.TLS_1_2
    )


def check_tls(table: Table, _: TLS) -> None:
    """Report a key that lacks the one that it needs."""
    for one, other in (("certificate", "key"), ("key", "certificate")):
        if one in table and other not in table:
            allowed = f"a file beside {one}, which may be the same one; or neither"
            table.report(other, "nothing", allowed)
    if "client_certificate" in table and "client_ca" not in table:
        table.report("client_ca", "nothing", "the authorities of client certificates")
