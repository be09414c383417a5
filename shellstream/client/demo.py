"""C{shellstream demo}: the whole thing on one machine, and what to type on two."""

import re
import signal
import subprocess
import sys
from pathlib import Path

from .errors import CannotConnect

#: twistd, whatever is on the PATH: this Python has what the daemon needs.
_TWISTD = "from twisted.scripts.twistd import run; run()"

#: A free port, and nothing left behind.
_OPTIONS = ("--port", "0", "--state-dir", ":memory:")


def demo() -> int:
    """
    Start a daemon on a free port and show its demo through the real client.

    @return: the client's exit code.
    @raise CannotConnect: if the daemon does not start.
    """
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    daemon = subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", _TWISTD, "-n", "shellstream", *_OPTIONS],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        url = _announced(daemon)
        _say(f"A daemon runs here now, and this follows it: shellstream {url}")
        client = [sys.executable, "-m", "shellstream.client", url]
        code = subprocess.run(client, check=False).returncode  # noqa: S603
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    finally:
        daemon.terminate()
        daemon.communicate()
    _say(_two_machines())
    return code


def _announced(daemon: "subprocess.Popen[str]") -> str:
    assert daemon.stdout is not None
    said = []
    for line in daemon.stdout:
        said.append(line)
        match = re.search(r"curl -N (http://\S+/stream)", line)
        if match is not None:
            return match[1]
    raise CannotConnect("the daemon did not start", "".join(said).strip())


def _two_machines() -> str:
    beside = Path(sys.argv[0]).parent / "twistd"
    twistd = beside if beside.exists() else "twistd"
    return (
        "For two machines, type on this one:\n"
        f"  {twistd} -n shellstream --interface 0.0.0.0 --port 8000\n"
        "It shows what to paste on the other one, with a token that lets it in: for\n"
        "this client, or for curl, where nothing is to be installed."
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
