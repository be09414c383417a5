"""C{shellstreamd}, C{python -m shellstream.daemon}: the daemon without twistd."""

import signal
import sys
from collections.abc import Iterator, Sequence
from typing import Any


def main() -> None:
    """
    Run the service of C{twistd -n shellstream}, in the foreground.

    It takes the options that stand after C{shellstream} on the command line of twistd,
    whose own machinery does the rest.
    """
    # Python's own handler would end a slow import with a traceback. The service has one
    # of its own once it starts. An ignored signal stays ignored.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from twisted.application.app import run
    from twisted.scripts import twistd

    from twisted.plugins.shellstream_plugin import shellstream

    class Options(twistd.ServerOptions):  # type: ignore[name-defined]
        """
        The options of twistd, with one service: it searches no other packages for
        plugins, and writes no cache of what it found into a folder of the installation.
        """

        # Usages begin with it; the name of the service follows.
        synopsis = "Usage:"

        def parseOptions(self, options: Sequence[str] | None = None) -> None:
            super().parseOptions(["--nodaemon", "shellstreamd", *sys.argv[1:]])

        @property
        def subCommands(self) -> Iterator[tuple[Any, ...]]:
            self.loadedPlugins = {"shellstreamd": shellstream}
            yield "shellstreamd", None, shellstream.options, shellstream.description

    run(twistd.runApp, Options)


if __name__ == "__main__":
    main()
