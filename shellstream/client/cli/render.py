"""Events, as they are shown."""

from base64 import b64encode

from shellstream.client.escape import json_shown, shown
from shellstream.client.events import Begun, End, Event, Gap, Output

from .stdout import OutputWriter


class Plain:
    """
    Every byte to where it belongs: stdout to stdout, stderr to stderr.

    @ivar timestamps: put the time in front of each line.
    @ivar prefix: and this, if it is not empty, with the stream's name.
    """

    def __init__(
        self,
        out: OutputWriter,
        err: OutputWriter,
        *,
        timestamps: bool = False,
        prefix: str = "",
    ) -> None:
        self._outs = {"stdout": out, "stderr": err}
        self._timestamps = timestamps
        self._prefix = shown(prefix)
        self._within = {"stdout": False, "stderr": False}  # a line

    async def show(self, event: Event) -> None:
        """Write what an event holds."""
        if isinstance(event, Output):
            data = event.data
            if self._timestamps or self._prefix:
                data = self._labelled(event)
            await self._outs[event.stream].write(data)
        elif isinstance(event, Gap):
            size = event.end - event.offset
            note = f"shellstream: {size} bytes are missing here: not kept any more\n"
            await self._outs["stderr"].write(note.encode())

    def _labelled(self, event: Output) -> bytes:
        label = f"[{self._prefix}/{event.stream}] " if self._prefix else ""
        if self._timestamps:
            label = f"{shown(event.time or '')} {label}"
        start, within = label.encode(), self._within[event.stream]
        *lines, rest = event.data.split(b"\n")
        parts = []
        for line in lines:
            parts.append(line if within else start + line)
            within = False
        self._within[event.stream] = within or bool(rest)
        parts.append(rest if within or not rest else start + rest)
        return b"\n".join(parts)


class Ndjson:
    """An object a line, as the server's format of this name; the last is the end."""

    def __init__(self, out: OutputWriter) -> None:
        self._out = out

    async def show(self, event: Event) -> None:
        """Write an event, unless it is news of nothing."""
        fields = self._fields(event)
        if fields is not None:
            text = json_shown(fields, separators=(",", ":"))
            await self._out.write(text.encode() + b"\n")

    def _fields(self, event: Event) -> dict[str, object] | None:
        match event:
            case Output(offset, stream, data, time):
                fields: dict[str, object] = {"offset": offset, "time": time}
                fields["stream"] = stream
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
