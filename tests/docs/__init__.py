"""The documents are true: their commands are run and compared with the code."""
