"""All processes of a run: how they are found, signalled and ended."""
