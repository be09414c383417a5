"""C{doctor}: finds what holds output back."""

import os
from argparse import Namespace

from shellstream.client import doctor as examination
from shellstream.client.doctor.probe_client import ProbeClient
from shellstream.client.urls import http_url

from .settings import load_settings


def doctor(given: Namespace) -> int:
    """Examine a command, a stream, or a server: the default one unless one is named."""
    settings = load_settings(given, os.environ, given.url and http_url(given.url))
    secrets = {}
    if settings.token is not None:
        secrets = {"Authorization": f"Bearer {settings.token}"}
    trust = settings.checked_trust()
    asker = ProbeClient(None if trust is None else trust.context(), secrets)
    return examination.doctor(given, settings.url, asker)
