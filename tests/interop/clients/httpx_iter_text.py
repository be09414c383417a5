"""httpx, as text; without timeout=None five silent seconds end the stream."""

import sys

import httpx

with httpx.stream("GET", sys.argv[1], timeout=None) as response:
    response.raise_for_status()
    for text in response.iter_text():
        sys.stdout.write(text)
        sys.stdout.flush()
