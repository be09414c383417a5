"""Telling of runs: by HTTP, or by a program."""
