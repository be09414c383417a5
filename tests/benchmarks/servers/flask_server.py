"""Streams a command's output: Flask, for gunicorn."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE, Popen

from flask import Flask, Response

COMMANDS = json.loads(Path(os.environ["COMMANDS"]).read_text())

app = Flask(__name__)


@app.get("/<name>")
def stream(name: str) -> Response:
    process = Popen(COMMANDS[name], stdout=PIPE)
    assert process.stdout is not None
    pipe = process.stdout

    def output() -> Iterator[bytes]:
        try:
            while chunk := os.read(pipe.fileno(), 65536):
                yield chunk
        finally:
            pipe.close()
            process.wait()

    return Response(output(), mimetype="application/octet-stream")
