"""requests: byte by byte, live with any framing of the server."""

import sys

import requests

with requests.get(sys.argv[1], stream=True) as response:
    response.raise_for_status()
    for byte in response.iter_content(chunk_size=1):
        sys.stdout.buffer.write(byte)
        sys.stdout.buffer.flush()
