"""The server whose stream was held back at first, with a command, on a free port."""

import subprocess
import sys
from collections.abc import Iterator
from wsgiref.simple_server import make_server

import bottle  # type: ignore[import-untyped]


@bottle.route("/stream")  # type: ignore[untyped-decorator]
def stream() -> Iterator[bytes]:
    proc = subprocess.Popen(
        sys.argv[1],
        shell=True,
        stdout=subprocess.PIPE,
    )
    assert proc.stdout is not None
    while proc.poll() is None:
        output = proc.stdout.readline()
        yield output + b"\r\n"


# As bottle.run() does, which does not tell the port that it got.
server = make_server("127.0.0.1", 0, bottle.default_app())
sys.stdout.write(f"http://127.0.0.1:{server.server_port}\n")
sys.stdout.flush()
server.serve_forever()
