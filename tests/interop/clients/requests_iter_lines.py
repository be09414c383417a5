"""The client of where it began: its two calls as they were, print as Python 3 has it."""

import sys

import requests

r = requests.get(sys.argv[1], stream=True)
for line in r.iter_lines():
    print(line.decode(), flush=True)  # noqa: T201
