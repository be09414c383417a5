"""The signals by which an operator stops the daemon."""

import signal
from collections.abc import Callable
from typing import Any

from attrs import define, field
from twisted.logger import Logger

_log = Logger(namespace="shellstream")


@define(eq=False)
class StopSignals:
    """
    Stops the reactor at the first SIGTERM or SIGINT, and only then: the reactor raises
    when it is stopped again.

    @ivar _hurry: ends all runs, and kills them when it is called again. SIGINT, as
        Ctrl-C sends it, calls it each time: the operator at the terminal does not want
        to wait.
    @ivar _active: how many runs have not ended.
    """

    _reactor: Any
    _hurry: Callable[[], object]
    _active: Callable[[], int]
    _stopping: bool = field(default=False, init=False)

    def handle(self) -> None:
        """Begin to handle them."""
        # The first is what shellstreamd sets, the second what twistd leaves.
        own = signal.SIG_DFL, signal.default_int_handler
        if signal.getsignal(signal.SIGINT) in own:
            signal.signal(signal.SIGINT, self._interrupted)
        # The reactor has a handler of its own for SIGTERM once it runs.
        self._reactor.callWhenRunning(self._handle_sigterm)

    def _handle_sigterm(self) -> None:
        handler = signal.getsignal(signal.SIGTERM)

        def terminated(number: int, frame: Any) -> None:
            if self._stopping:
                self._reactor.callFromThread(self._log_stopping)
            elif callable(handler):
                self._stopping = True
                handler(number, frame)

        signal.signal(signal.SIGTERM, terminated)

    def _interrupted(self, number: int, frame: object) -> None:
        self._reactor.callFromThread(self._hurry)
        if not self._stopping:
            self._stopping = True
            self._reactor.callFromThread(self._reactor.stop)
            self._reactor.callFromThread(self._log_ending)

    def _log_ending(self) -> None:
        if self._active():
            _log.info(
                "ending {count} runs; SIGINT (Ctrl-C) once more kills them at once",
                count=self._active(),
            )

    def _log_stopping(self) -> None:
        _log.info(
            "stopping already: {count} runs have not ended; SIGINT (Ctrl-C) ends them",
            count=self._active(),
        )
