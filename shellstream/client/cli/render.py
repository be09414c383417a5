"""Writes a run's events to stdout and stderr."""

from base64 import b64encode

from shellstream.client.escape import encode, printable, printable_json
from shellstream.client.events import Begun, End, Event, Gap, Output

from .stdout import OutputWriter


class PlainRenderer:
    """Writes stdout to stdout and stderr to stderr, every byte."""

    def __init__(
        self,
        stdout: OutputWriter,
        stderr: OutputWriter,
        *,
        timestamps: bool = False,
        prefix: str = "",
    ) -> None:
        """
        @param timestamps: put the time in front of each line.
        @param prefix: put this and the stream's name in front of each line, unless it
            is empty.
        """
        self._writers = {"stdout": stdout, "stderr": stderr}
        self._timestamps = timestamps
        self._prefix = printable(prefix)
        # Whether the last byte of each stream was in the middle of a line.
        self._in_line = {"stdout": False, "stderr": False}

    async def show(self, event: Event) -> None:
        """Write the output that an event holds."""
        if isinstance(event, Output):
            data = event.data
            if self._timestamps or self._prefix:
                data = self._add_labels(event)
            await self._writers[event.stream].write(data)
        elif isinstance(event, Gap):
            size = event.end - event.offset
            note = f"shellstream: {size} bytes are missing here: not kept any more\n"
            await self._writers["stderr"].write(encode(note))

    def _add_labels(self, event: Output) -> bytes:
        label = f"[{self._prefix}/{event.stream}] " if self._prefix else ""
        if self._timestamps:
            label = f"{printable(event.time or '')} {label}"
        # A label goes before a line's first byte, which may come long before its last.
        start, in_line = encode(label), self._in_line[event.stream]
        *lines, rest = event.data.split(b"\n")
        parts = []
        for line in lines:
            parts.append(line if in_line else start + line)
            in_line = False
        self._in_line[event.stream] = in_line or bool(rest)
        parts.append(rest if in_line or not rest else start + rest)
        return b"\n".join(parts)


class NdjsonRenderer:
    """Writes a JSON object a line, like the server's format ndjson; the end is last."""

    def __init__(self, stdout: OutputWriter) -> None:
        self._stdout = stdout

    async def show(self, event: Event) -> None:
        """Write an event, unless it is a L{Ping}, which only keeps connections open."""
        fields = self._fields(event)
        if fields is not None:
            text = printable_json(fields, separators=(",", ":"))
            await self._stdout.write(text.encode() + b"\n")

    def _fields(self, event: Event) -> dict[str, object] | None:
        match event:
            case Output(offset, stream, data, time):
                fields: dict[str, object] = {"offset": offset, "time": time}
                fields["stream"] = stream
                # JSON holds no bytes; the server writes UTF-8 as text too.
                try:
                    fields["text"] = data.decode()
                except UnicodeDecodeError:
                    fields["base64"] = b64encode(data).decode("ascii")
                return fields
            case Begun():
                return {"type": "run", **event._asdict()}
            case Gap(offset, end):
                size = end - offset
                return {"type": "gap", "offset": offset, "end": end, "bytes": size}
            case End():
                return {"type": "end", **event._asdict()}
        return None
