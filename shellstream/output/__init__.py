"""The output of a run: a log by byte offset, its formats, its viewers."""
