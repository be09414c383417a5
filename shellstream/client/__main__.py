"""The command line: C{shellstream}, C{python -m shellstream.client}."""

import gc
import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from argparse import Namespace


def main() -> NoReturn:
    """Run the command line and exit."""
    # Nearly all of a short run is imports: to look for garbage among what is there
    # to stay would make them longer.
    gc.disable()
    from shellstream.client.cli.arguments import arguments
    from shellstream.client.cli.messages import note
    from shellstream.client.cli.stdout import occupy

    from .errors import ClientError

    try:
        occupy()
        code = _do(arguments(sys.argv[1:]))
    except ClientError as error:
        note(str(error))
        code = error.code
    except BrokenPipeError:
        code = 141
    except KeyboardInterrupt:  # before there was anything to steer
        code = 130
    sys.exit(code)


def _do(given: "Namespace") -> int:
    name = given.subcommand
    if name == "demo":
        from .demo import demo

        return demo()
    if name == "completion":
        from shellstream.client.cli.arguments import completion

        return completion(given.shell)
    if name == "doctor":
        from shellstream.client.cli.doctor import doctor

        _loaded()
        return doctor(given)
    import asyncio

    if name in ("run", "attach", "output"):
        from shellstream.client.cli import run as module
    else:
        from shellstream.client.cli import manage as module  # type: ignore[no-redef]
    _loaded()
    code: int = asyncio.run(getattr(module, name)(given))
    return code


def _loaded() -> None:
    gc.freeze()  # nor need all of it be looked through at the exit
    gc.enable()


if __name__ == "__main__":
    main()
