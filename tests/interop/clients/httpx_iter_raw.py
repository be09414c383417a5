"""httpx, as bytes; without timeout=None five silent seconds end the stream."""

import sys

import httpx

with httpx.stream("GET", sys.argv[1], timeout=None) as response:
    response.raise_for_status()
    for chunk in response.iter_raw():
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
