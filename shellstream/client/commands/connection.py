"""The client that a command line asks for."""

import os
from argparse import Namespace
from typing import Any

from shellstream.client.api import Client
from shellstream.client.cli.messages import Messages
from shellstream.client.cli.options import RETRY_FOR
from shellstream.client.cli.settings import Settings, load_settings, make_wire


def connect(reactor: Any, args: Namespace, messages: Messages) -> Client:
    """The client of the server that a command line names."""
    return client_of(reactor, args, messages, load_settings(args, os.environ))


def client_of(
    reactor: Any, args: Namespace, messages: Messages, settings: Settings
) -> Client:
    """The client with these settings."""
    return Client(
        settings.url,
        make_wire(reactor, settings),
        token=settings.token,
        headers=settings.headers,
        retry_for=getattr(args, "retry_for", RETRY_FOR),
        on_retry=messages.retrying,
    )
