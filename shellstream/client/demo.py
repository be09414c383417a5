"""C{shellstream demo}: a daemon and a client on one machine."""

import os
import re
import signal
import subprocess
import sys

from shellstream.programs import typed

from .errors import CannotConnect

#: A free port, its own command, and no files that stay behind.
_OPTIONS = ("--port", "0", "--config", ":demo:", "--state-dir", ":memory:")


def demo() -> int:
    """
    Start a daemon on a free port, and show its demo; then say how to use two machines.

    @return: the client's exit code.
    @raise CannotConnect: if the daemon does not start.
    """
    # Exceptions, so that the daemon is ended too.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        daemon = subprocess.Popen(  # noqa: S603
            # This Python has what the daemon needs; one of the PATH may not.
            [sys.executable, "-m", "shellstream.daemon", *_OPTIONS],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    except OSError as error:
        why = f"{sys.executable}: {error.strerror}"
        raise CannotConnect("the daemon did not start", why) from None
    try:
        url = _read_url(daemon)
        _say(f"A daemon runs now; this shows its output: {typed('shellstream')} {url}")
        client = [sys.executable, "-m", "shellstream.client", url]
        code = subprocess.run(client, check=False).returncode  # noqa: S603
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    finally:
        daemon.terminate()
        daemon.communicate()  # reads on, or a full pipe would keep it from ending
    _say(f"The daemon has stopped again.\n{_advice()}")
    return code


def _read_url(daemon: "subprocess.Popen[str]") -> str:
    assert daemon.stdout is not None
    lines = []
    for line in daemon.stdout:
        lines.append(line)
        match = re.search(r"curl -N (http://\S+/stream)", line)
        if match is not None:
            return match[1]
    raise CannotConnect("the daemon did not start", "".join(lines).strip())


def _advice() -> str:
    return (
        "For two machines, type on this one:\n"
        f"  {typed('shellstreamd')} --interface 0.0.0.0 --port 8000\n"
        "It prints what to paste on the other one, with a token: for this client, or\n"
        "for curl, which needs no installation."
    )


def _say(text: str) -> None:
    # Not print(): it would write to stdout where stderr was closed at the start.
    try:
        os.write(2, f"{text}\n".encode())
    except OSError:  # a closed stderr is no reason to show no demo
        return
