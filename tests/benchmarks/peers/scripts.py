"""Workloads as scripts in a folder, for peers that run the scripts of a folder."""

from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.workloads import Workload

#: The head of a CGI script's output (RFC 3875, 6).
CGI = r"printf 'Content-Type: application/octet-stream\r\n\r\n'"


def write_scripts(folder: Path, workloads: Sequence[Workload], first: str = "") -> Path:
    """Write a script for each workload; returns the folder."""
    folder.mkdir()
    for each in workloads:
        script = folder / each.name
        script.write_text(f"#!/bin/sh\n{first}\n{each.shell}\n")
        script.chmod(0o755)
    return folder
