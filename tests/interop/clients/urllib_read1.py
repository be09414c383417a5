"""The standard library: read1() gives what has arrived, read(n) waits for n bytes."""

import sys
from urllib.request import urlopen

with urlopen(sys.argv[1]) as response:
    while chunk := response.read1():
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
