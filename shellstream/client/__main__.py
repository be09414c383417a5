"""The command line: C{shellstream}, C{python -m shellstream.client}."""

import gc
import os
import signal
import sys
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn

from .errors import CannotWrite, ClientError, Usage

if TYPE_CHECKING:
    from argparse import Namespace


#: Where a subcommand is carried out, if not by L{commands.manage}.
_MODULES = {
    **{name: ("run", name) for name in ("run", "attach", "output")},
    **{name: (name, name) for name in ("doctor", "send", "events", "login")},
}


def main() -> NoReturn:
    """Run the command line and exit."""
    # Python's own handler raises between any two instructions: while argparse tidies
    # up, for one, that ends in another error. An ignored signal stays ignored.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    # A short run is nearly all imports, and what they make stays: to search it for
    # garbage again and again would only make them slower.
    gc.disable()
    if sys.argv[1:2] == ["completion"] and sys.argv[2:3] in (["--"], ["--bash"]):
        from .commands.candidates import complete

        sys.exit(complete(sys.argv[2:]))
    from .cli.arguments import parse_arguments
    from .cli.exit_codes import explain
    from .cli.messages import print_message

    try:
        _reserve_standard_fds()
        code = _run(parse_arguments(sys.argv[1:]))
    except ClientError as error:
        print_message(explain(error))
        code = error.code
    except BrokenPipeError:
        code = 141  # 128 + SIGPIPE, as a shell has it
    sys.exit(code)


def _run(args: "Namespace") -> int:
    """
    Carry out a subcommand; returns the exit code.

    Each imports what it needs and no more: the reactor and HTTP take ten times as long
    to load as all the rest.
    """
    name = args.subcommand
    if name == "demo":
        from .demo import demo

        return demo()
    if name == "completion":
        from .commands.completion import print_script

        return print_script(args.shell)
    if name in ("logout", "servers", "version"):
        from .commands import saved_servers

        code: int = getattr(saved_servers, name)(args)
        return code
    if name not in ("doctor", "login") and _is_plain_http(args):
        # Twisted loads OpenSSL wherever it finds it: a fifth of the processor time of a
        # short run, and 13 MB. Now it does not find it, as where it is not installed.
        sys.modules["OpenSSL"] = None  # type: ignore[assignment]
    from twisted.internet import reactor

    from .cli.signals import run_until_done

    module, function = _MODULES.get(name, ("manage", "manage"))
    try:
        found = import_module(f".commands.{module}", __package__)
    except ModuleNotFoundError as missing:
        raise _not_installed(missing) from None
    subcommand = getattr(found, function)
    # What was imported is left out of all further searches for garbage.
    gc.freeze()
    gc.enable()
    return run_until_done(reactor, lambda: subcommand(reactor, args))


def _is_plain_http(args: "Namespace") -> bool:
    """Whether a command line asks a server without TLS, and nothing else."""
    from .cli.settings import load_settings
    from .cli.target import Target
    from .urls import server_of

    try:
        url = Target(args.words).url if args.subcommand == "run" else None
        server = None if url is None else server_of(url) or url
        settings = load_settings(args, os.environ, server, warn=lambda text: None)
    except ClientError:
        return False  # the subcommand tells what is wrong
    return settings.url.startswith("http:")


def _not_installed(missing: ModuleNotFoundError) -> Exception:
    """What to tell of a package that only the doctor needs."""
    from shellstream.programs import installing  # late, as all that no run needs

    if missing.name != "httptools":
        return missing
    return Usage(
        "doctor needs the package httptools, which is not installed here. Install "
        "shellstream-http[doctor], or type what fits your installation: "
        f"{installing('httptools')}"
    )


def _reserve_standard_fds() -> None:
    """
    Open C{/dev/null} where standard input or error is closed, or else one of our
    connections would get its number.

    @raise CannotWrite: if standard output is closed.
    """
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            if fd == 1:
                raise CannotWrite("standard output is closed") from None
            taken = os.open(os.devnull, os.O_RDWR)
            assert taken == fd, taken  # open(2) takes the lowest free number


if __name__ == "__main__":
    main()
