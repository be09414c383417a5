"""What the documents say is true: they are run, and compared with the code."""
