"""C{--check}: what is wrong with the configuration, and what it means."""

import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from shellstream.config.files import ConfigFiles, Loaded, read_sources
from shellstream.config.loader import IN_MEMORY
from shellstream.storage.state_dir import default_state_dir
from shellstream.storage.token_file import TokenFile, TokensUnusable

from .explanation import Explained, explain
from .findings import find_all


def check(
    files: ConfigFiles,
    loaded: Loaded,
    listen: Sequence[str],
    state_dir: str | None,
    environ: Mapping[str, str],
    *,
    insecure: bool,
) -> int:
    """
    Print what there is to say about a configuration that was read without mistakes:
    warnings to standard error, and what it means to standard output.

    @return: the exit status: 1 if the daemon would not start with it.
    """
    sources = [] if loaded.path is None else read_sources(loaded.path)
    findings = find_all(loaded.config, datetime.now(UTC))
    for each in findings:
        there = [source for source in sources if source.has(each.key)] or sources[:1]
        place = there[0].place_of(each.key) if there else ""
        kind = "error" if each.prevents_start else "warning"
        parts = filter(None, (place, kind, each.key, each.text))
        print(": ".join(parts), file=sys.stderr)  # noqa: T201
    fails = any(each.prevents_start for each in findings)
    about = files.describe(loaded) if loaded.path is None else str(loaded)
    print(f"{about}: {'not ok' if fails else 'ok'}")  # noqa: T201
    folder = None
    if state_dir != IN_MEMORY:
        folder = Path(state_dir) if state_dir else default_state_dir(environ)
    tokens = folder is not None and _has_tokens(folder)
    for line in explain(Explained(loaded.config, listen, insecure, tokens, folder)):
        print(line)  # noqa: T201
    return 1 if fails else 0


def _has_tokens(folder: Path) -> bool | None:
    file = TokenFile(folder)
    try:
        return file.is_marked() or os.path.lexists(file.path)
    except TokensUnusable:
        return None
