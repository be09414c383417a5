"""The client of where it began: both calls as they were; print() is Python 3's."""

import sys

import requests

r = requests.get(sys.argv[1], stream=True)
for line in r.iter_lines():
    print(line.decode(), flush=True)  # noqa: T201
