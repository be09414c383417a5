"""C{servers}, C{logout}, C{version}: what this client knows without asking."""

import os
from argparse import Namespace

from shellstream import __version__
from shellstream.client.cli.arguments import VERSION
from shellstream.client.cli.configuration import (
    Configuration,
    change_saved,
    load_configuration,
    load_saved,
)
from shellstream.client.cli.messages import print_message, print_text
from shellstream.client.errors import Usage
from shellstream.client.escape import printable, printable_json


def version(args: Namespace) -> int:
    """Print the version."""
    if args.format == "json":
        print_text(f"{printable_json({'version': __version__}, indent=2)}\n")
    else:
        print_text(f"{VERSION}\n")
    return 0


def servers(args: Namespace) -> int:
    """List the servers that have a name here. Secrets are not shown."""
    found = load_configuration(os.environ, print_message)
    documents = [
        {
            "name": name,
            "url": entry["url"],
            "default": name == found.default,
            "token": "token" in entry or "token_file" in entry,
            "pin": entry.get("pin"),
        }
        for name, entry in found.servers.items()
    ]
    if args.format == "json":
        print_text(f"{printable_json(documents, indent=2)}\n")
        return 0
    size = max((len(name) for name in found.servers), default=0)
    for each in documents:
        mark = "*" if each["default"] else " "
        line = f"{mark} {str(each['name']).ljust(size)}  {each['url']}"
        print_text(f"{printable(line)}\n")
    return 0


def logout(args: Namespace) -> int:
    """
    Forget a server that C{login} saved.

    @raise Usage: if there is none of this name.
    """
    saved = load_saved(os.environ, print_message)
    name = args.name or saved.default
    if name is None or name not in saved.servers:
        known = ", ".join(saved.servers) or "none"
        which = (
            f"{name!r} is not saved" if name else "no server is saved as the default"
        )
        raise Usage(f"{which}; saved are: {known}")

    def forget(saved: Configuration) -> Configuration:
        left = {each: entry for each, entry in saved.servers.items() if each != name}
        return Configuration(None if saved.default == name else saved.default, left)

    left = change_saved(os.environ, forget)
    what = f"forgot {name}, {saved.servers[name]['url']}"
    again = (
        "; no server is the default now" if left.servers and not left.default else ""
    )
    print_message(f"{what}{again}; its token is valid until it is revoked")
    return 0
