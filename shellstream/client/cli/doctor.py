"""C{doctor}: who holds output back."""

import os
from argparse import Namespace

from shellstream.client import doctor as examination
from shellstream.client.doctor.probe_client import ProbeClient
from shellstream.client.urls import http_url

from .settings import settings


def doctor(given: Namespace) -> int:
    """Examine a command, a stream, or the server that is meant if none is named."""
    where = settings(given, os.environ, given.url and http_url(given.url))
    secrets = {} if where.token is None else {"Authorization": f"Bearer {where.token}"}
    trust = where.tls()
    asker = ProbeClient(None if trust is None else trust.context(), secrets)
    return examination.doctor(given, where.url, asker)
