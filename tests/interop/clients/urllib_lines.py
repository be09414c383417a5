"""The standard library, line by line."""

import sys
from urllib.request import urlopen

with urlopen(sys.argv[1]) as response:
    for line in response:
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
