"""Targets: files that the daemon reads from its disk."""

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path as FilePath
from struct import unpack
from tempfile import TemporaryDirectory
from zlib import crc32

from shellstream.model.events import Chunk, OnDisconnect, Stream
from shellstream.model.run_record import RunRecord, to_document
from shellstream.output.log import LogDamaged
from shellstream.output.short_output import decode, encode
from shellstream.security import tokens
from shellstream.security.authorization import Grant
from shellstream.storage.ring import Ring
from shellstream.storage.ring_file import RingFile
from shellstream.storage.ring_format import FileSignature
from shellstream.storage.schema import DatabaseDamaged, checksum, from_row, to_row
from tests.fuzz.byte_source import ByteSource


def kept_output(data: bytes) -> None:
    """A damaged file yields the bytes that were written, or reports them missing."""
    source = ByteSource(data)
    with TemporaryDirectory() as folder:
        file = RingFile(f"{folder}/log", 2048, lambda _: True)
        file._ring = Ring(FileSignature.of(2048, 0x5A17), 2048, lambda _: True)
        whole = bytearray()
        for _ in range(source.number(24)):
            extent = source.some()[:1] * (source.number(700) + 1) or b"x"
            chunk = Chunk(len(whole), source.one_of(tuple(Stream)), 0, extent)
            file.append(chunk)
            whole += extent
        file.close()
        path = FilePath(folder, "log")
        there = path.read_bytes() if whole else b""
        forged = source.one_of((False, True))
        path.write_bytes(source.rest() if forged else _damage(there, source))
        try:
            found = RingFile.open(path)
        except LogDamaged:
            return
        try:
            for chunk in _read(found):
                if not forged:
                    assert whole[chunk.offset : chunk.end] == chunk.data, chunk.offset
        finally:
            found.close()


def _damage(there: bytes, source: ByteSource) -> bytes:
    """Damage a file as disks and power cuts do."""
    data = bytearray(there)
    position, size = source.number(1 << 16), source.number(1 << 10)
    position %= len(data) + 1
    match source.number(5):
        case 0:
            del data[position:]
        case 1:
            data[position : position + size] = bytes(len(data[position:][:size]))
        case 2:
            for at in range(position, min(position + 1, len(data))):
                data[at] ^= source.number(255) + 1
        case 3:  # an older sector in the place of another
            here, other = position // 512 * 512, size // 2 % 8 * 512
            sector = data[other : other + 512]
            data[here : here + len(sector)] = sector
    return bytes(data)


def _read(file: RingFile) -> Iterator[Chunk]:
    """Return all readable chunks."""
    offset = file.start
    while offset < file.end:
        try:
            chunks = file.read(offset, 1000)
        except LogDamaged as damage:
            assert damage.resume is not None
            assert offset < damage.resume <= file.end
            offset = damage.resume
            continue
        for chunk in chunks:
            assert chunk.offset == offset
            assert chunk.data
            offset = chunk.end
            yield chunk


#: A token, and its secret text.
_TOKEN, _TEXT = tokens.create_token("ann", Grant(), 0, random=lambda size: "a7" * size)


def token(data: bytes) -> None:
    """Only the exact text is the token; a token file is read back, or is damaged."""
    source = ByteSource(data)
    shown, text = source.one_of((True, False)), source.rest()
    if shown:
        given = text.decode("latin-1")
        found = tokens.find_token(given, {_TOKEN.id: _TOKEN}, 1)
        assert found is (_TOKEN if given == _TEXT else None)
        return
    try:
        saved = tokens.parse(text.decode("utf-8", "replace"))
    except (tokens.TokensDamaged, tokens.TokensNewer):
        return
    assert tokens.parse(tokens.render(saved)) == saved


*_SOUND, _, _, _ = to_row(
    RunRecord(
        id="01890a5d-ac96-774b-bcce-b302099a8057",
        command="c",
        params={"a": "b"},
        created=1,
        on_disconnect=OnDisconnect.KEEP,
    ),
    0,
)


def row(data: bytes) -> None:
    """A row of the history is a valid run, or is reported as damaged."""
    source = ByteSource(data)
    values: list[object] = list(_SOUND)
    for value in source.each(lambda: _column(source)):
        values[source.number(len(values))] = value
    try:
        found = from_row([*values, None, checksum([*values, None])])
    except DatabaseDamaged as damaged:
        assert "impossible" in str(damaged)
        return
    assert from_row(to_row(found, 0)) == found
    shown = to_document(found)
    json.dumps(shown, allow_nan=False)
    assert datetime.fromisoformat(str(shown["created"]))


def short_output(data: bytes) -> None:
    """The output in a row is read as it was written, or is reported as damaged."""
    source = ByteSource(data)
    matches, said = source.one_of((True, False)), source.rest()
    if matches:
        said += crc32(said).to_bytes(4, "big")
    try:
        chunks = decode(said)
    except LogDamaged:
        return
    assert encode(chunks) == said
    assert sum(len(each.data) for each in chunks) == (chunks[-1].end if chunks else 0)


def _column(source: ByteSource) -> object:
    """Any value that SQLite may hold in a column."""
    match source.number(5):
        case 0:
            return source.number(1 << 64) - (1 << 63)
        case 1:
            number = float(unpack(">d", source.take(8).ljust(8, b"\0"))[0])
            return number if number == number else None  # as SQLite keeps it
        case 2:
            return source.one_of((None, "exited", "signaled", "lost", "{}", "timeout"))
        case 3:
            return source.some()
    return source.some().decode("utf-8", "replace")
