"""
The scripts, the style sheet and the icons of the page.

Each has a hash of its content in its name, so that a browser may keep it for ever: what
changes has another name. Scripts import each other by these names, too, and come
without their comments.
"""

import gzip
import re
from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from hashlib import sha256
from pathlib import Path

from attrs import frozen

_FOLDER = Path(__file__).parent / "static"

_MEDIA_TYPES = {
    ".css": b"text/css; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".svg": b"image/svg+xml",
}

#: How a script names another one of ours. One that it imports from the start has no
#: parenthesis before it.
_IMPORT = re.compile(r'(\(?)"\./([\w-]+\.js)"')


#: What a browser need not load: comments that have lines of their own, and the room
#: before a line. No text of ours has several lines.
_LEFT_OUT = re.compile(
    r"^[ \t]*(?://[^\n]*|/\*\*(?:[^*]|\*(?!/))*\*/)\n|^[ \t]+", re.MULTILINE
)


@frozen
class Asset:
    """
    A file that pages refer to.

    @ivar name: its name with the hash in it, as C{console.0123456789.css}.
    @ivar imports: the files that it imports from the start, without their hashes.
    """

    name: str
    media_type: bytes
    body: bytes
    imports: Sequence[str] = ()

    @cached_property
    def compressed(self) -> bytes:
        """The body as gzip (RFC 1952); the same bytes each time."""
        return gzip.compress(self.body, mtime=0)


@cache
def asset(file: str) -> Asset:
    """The asset of a file, by its name without the hash."""
    path = _FOLDER / file
    text = path.read_text("utf-8")
    if path.suffix == ".js":
        text = _LEFT_OUT.sub("", text)
    found = _IMPORT.findall(text)
    imports = [other for later, other in found if not later]
    # No script may import itself by way of others: there would be no hash of it.
    text = _IMPORT.sub(lambda match: f'{match[1]}"./{asset(match[2]).name}"', text)
    body = text.encode()
    name = f"{path.stem}.{sha256(body).hexdigest()[:10]}{path.suffix}"
    return Asset(name, _MEDIA_TYPES[path.suffix], body, imports)


@cache
def assets() -> Mapping[str, Asset]:
    """All assets, by their names with the hash."""
    every = [asset(path.name) for path in sorted(_FOLDER.iterdir())]
    return {each.name: each for each in every}


@cache
def with_imports(script: str) -> Sequence[str]:
    """A script and all that it imports: a page names them, or they load in turns."""
    found = [script]
    for each in found:
        found += [other for other in asset(each).imports if other not in found]
    return found
