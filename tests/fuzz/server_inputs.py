"""Targets: configurations, and the parts of a request."""

import json
import os
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path as FilePath
from struct import unpack
from tempfile import TemporaryDirectory
from urllib.parse import urlencode

from shellstream.config import loader
from shellstream.config.command import Command
from shellstream.config.loader import ConfigError
from shellstream.config.parameters import Boolean, Integer, Number, Path, String
from shellstream.model.errors import (
    BodyMalformed,
    MediaTypeUnsupported,
    NotAcceptable,
    OffsetGone,
    ParametersRefused,
    RangeNotSatisfiable,
)
from shellstream.model.events import Stream
from shellstream.output.formats import FORMATS, MAX_OFFSET, parse_last_event_id
from shellstream.output.negotiation import negotiate, prefers_html
from shellstream.web.console.forms import entry
from shellstream.web.console.frame import Frame
from shellstream.web.console.start_page import CommandList, start_page
from shellstream.web.resources import index
from shellstream.web.resources.byte_ranges import resolve
from shellstream.web.resources.query import Query
from shellstream.web.resources.request_params import (
    JsonPairs,
    from_body,
    from_json,
    from_query,
)
from tests.fuzz.byte_source import ByteSource


def configuration(data: bytes) -> None:
    """A configuration is usable in full, or every mistake in it is named."""
    try:
        found = loader.parse(data.decode("utf-8", "replace"))
    except ConfigError as mistaken:
        assert mistaken.mistakes
        assert all(
            (each.key or each.place) and each.found for each in mistaken.mistakes
        )
        return
    for command in found.commands.values():
        json.dumps(index.to_document(command, found.runs_by_get(command)))
        with suppress(ParametersRefused):
            invocation = command.invoke([])
            assert command.shell or len(invocation.argv) == len(command.argv)
    frame = Frame("")
    entries = [entry(frame, each) for each in found.commands.values()]
    listed = CommandList(list(found.commands), entries)
    page = start_page(frame, listed, None)
    assert page.endswith(b"</html>")


@cache
def _tree() -> tuple[TemporaryDirectory[str], str]:
    """A folder with a root in it, and symbolic links that leave the root, or loop."""
    holder = TemporaryDirectory()
    top = FilePath(holder.name).resolve()
    (top / "root" / "sub").mkdir(parents=True)
    (top / "root" / "sub" / "file").touch()
    (top / "secret").touch()
    links: dict[str, str | FilePath] = {
        "out": top,
        "in": "sub",
        "up": "..",
        "loop": "loop",
        "etc": "/etc",
    }
    for name, to in links.items():
        (top / "root" / name).symlink_to(to)
    (top / "alias").symlink_to("root")
    return holder, str(top / "alias")


@cache
def _commands() -> tuple[Command, Command]:
    """Every kind of parameter, in an argv and in a script."""
    params = {
        each.name: each
        for each in (
            String(name="s", default=""),
            String(name="o", choices=("-x", "y"), default="y"),
            String(
                name="p", pattern=re.compile("[a-z]*=?.*"), default="", max_length=9
            ),
            Integer(name="i", min=0, default="0"),
            Integer(name="n", min=-5, max=5, default="0"),
            Number(name="f", min=0, max=10**16 + 1, default="0"),
            Number(name="g", min=-1.5, default="0"),
            Boolean(name="b", default="false"),
            Path(name="w", roots=(_tree()[1],), default=_tree()[1]),
        )
    }
    argv: tuple[str, ...] = (
        "prog",
        "a{s}b",
        "-{o}",
        "--s={s}",
        "{p}={s}",
        "{i}",
        "{n}",
        "{f}",
        "{g}",
    )
    argv += ("{b}", "{w}", "{{s}}", "{s}{", "{s}")
    made = Command(name="argv", argv=argv, params=params)
    return made, Command(name="shell", shell='echo "$s"', params=params)


def _argv(v: Mapping[str, str]) -> tuple[str, ...]:
    """Fill in the argv above, written independently."""
    filled = (
        "prog",
        f"a{v['s']}b",
        f"-{v['o']}",
        f"--s={v['s']}",
        f"{v['p']}={v['s']}",
    )
    numbers = (v["i"], v["n"], v["f"], v["g"])
    return (*filled, *numbers, v["b"], v["w"], "{s}", f"{v['s']}{{", v["s"])


def _value(source: ByteSource) -> object:
    """Any value of JSON."""
    kind = source.number(9)
    match kind:
        case 0:
            return source.number(1 << 64) - (1 << 63)
        case 1:
            return 10 ** source.number(100)
        case 2:
            return float(unpack(">d", source.take(8).ljust(8, b"\0"))[0])
        case 3:
            return source.one_of((None, True, False, [], {}, [1], {"a": 1}))
        case 4:
            return source.some().decode("latin-1")
    return source.text()


def parameters(data: bytes) -> None:
    """
    Values are refused, or stay in their place: they add no argument and no option, and
    leave no root. Given again, they have the same result.
    """
    source = ByteSource(data)
    command = source.one_of(_commands())
    names = (*command.params, "other")
    given = [
        (source.one_of(names), value) for value in source.each(lambda: _value(source))
    ]
    try:
        found = command.invoke(given)
    except ParametersRefused as refused:
        assert refused.refused
        json.dumps(refused.extensions)
        return
    values = found.params
    assert values.keys() == command.params.keys()
    for text in (*found.argv, *found.env.values()):
        assert b"\0" not in text.encode()
    meant = {values["n"], values["g"]}
    if command.shell is None:
        assert found.argv == _argv(values)
        assert found.env == {}
        led = {item for item in found.argv if item.startswith("-")}
        assert led <= {*meant, f"-{values['o']}", f"--s={values['s']}"}, led
    else:
        assert found.argv == ("/bin/sh", "-c", command.shell, "shell")
        assert found.env == values
        led = {text for text in values.values() if text.startswith("-")}
        assert led <= {*meant, "-x"}, led
    assert len(values["s"]) <= 4096
    assert len(values["p"]) <= 9
    assert re.fullmatch("[0-9]{1,40}", values["i"])
    assert -5 <= int(values["n"]) <= 5
    assert 0 <= float(values["f"]) <= 10**16 + 1
    assert -1.5 <= float(values["g"]) < 10**40
    assert values["b"] in ("true", "false")
    assert _is_within(values["w"], _tree()[1]), values["w"]
    assert command.invoke(values.items()) == found


def _is_within(path: str, root: str) -> bool:
    """Return whether the kernel finds a path inside a folder, if it finds it at all."""
    if sys.platform != "linux":  # others do not tell
        return True
    try:
        fd = os.open(path, os.O_PATH)
    except OSError:
        return True
    try:
        found = os.readlink(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)
    return f"{found}/".startswith(f"{os.path.realpath(root)}/")


def query(data: bytes) -> None:
    """A parsed query gives the sent pairs, and its fields their values."""
    try:
        given = from_query(data)
    except BodyMalformed:
        return
    assert from_query(urlencode(given).encode()) == given
    known = ("offset", "interval", "follow", "stream", "after")
    fields = Query(given, known)
    offset = fields.number("offset", 1, 1000)
    seconds = fields.seconds("interval", 10.0)
    fields.flag("follow")
    fields.one_of("stream", Stream)
    try:
        fields.validate()
    except ParametersRefused as refused:
        json.dumps(refused.extensions)
        return
    assert offset is None or 1 <= offset <= 1000
    assert seconds is None or 0 <= seconds <= 10
    assert len(given) == len(dict(given)) <= len(known)


_TYPES = (
    "application/json",
    "application/x-www-form-urlencoded",
    "Application/JSON ; charset=utf-8",
    "text/plain",
    "",
)


def body(data: bytes) -> None:
    """A body is parsed by its type with all members, or refused."""
    source = ByteSource(data)
    media_type, rest = source.one_of(_TYPES), source.rest()
    with suppress(BodyMalformed, MediaTypeUnsupported):
        given = from_body(media_type, rest)
        if rest and "json" in media_type.lower():
            assert _plain(JsonPairs(given)) == json.loads(rest)
    with suppress(BodyMalformed, MediaTypeUnsupported):
        members = from_json(media_type, rest)
        assert {k: _plain(v) for k, v in members.items()} == json.loads(rest)


def _plain(value: object) -> object:
    """JSON as Python's own module reads it."""
    if isinstance(value, JsonPairs):
        return {name: _plain(one) for name, one in value}
    return [_plain(one) for one in value] if isinstance(value, list) else value


def negotiation(data: bytes) -> None:
    """A client gets one of the formats; only an unknown name is refused."""
    source = ByteSource(data)
    wanted = source.one_of((None, *(one.name for one in FORMATS), "other"))
    accept = source.rest().decode("latin-1")
    prefers_html(accept)
    try:
        found = negotiate(accept, wanted)
    except NotAcceptable as refused:
        json.dumps(refused.extensions)
        assert wanted == "other"
        return
    assert found in FORMATS
    assert wanted in (None, found.name)
    assert negotiate(f"{accept}, nonsense", wanted) is found


def ranges(data: bytes) -> None:
    """A range lies within the existing or the future output."""
    source = ByteSource(data)
    ended, start = source.one_of((True, False)), source.number(1 << 8)
    end = start + source.number(1 << 8)
    header = source.rest().decode("latin-1")
    try:
        found = resolve(header, start, end, ended=ended)
    except OffsetGone as gone:
        offset = gone.extensions["offset"]
        assert isinstance(offset, int)
        assert offset < start
    except RangeNotSatisfiable as unsatisfiable:
        # The last no bytes are unsatisfiable while more is to come, too.
        assert ended or re.fullmatch(r"bytes=\s*-0+\s*", header)
        assert unsatisfiable.extensions["size"] == end
    else:
        if found is None:
            return
        assert start <= found.offset < found.until <= 1 << 53
        assert found.size == (end if ended else None)
        assert found.live == (not ended and found.until > end)
        assert found.until <= end or not ended
        assert re.fullmatch(r"bytes \d+-\d+/(\d+|\*)", found.content_range)


def event_id(data: bytes) -> None:
    """An event id is read back as it was sent, or is refused."""
    text = data.decode("latin-1")
    try:
        offset, run = parse_last_event_id(text)
    except ParametersRefused:
        return
    assert 0 <= offset <= MAX_OFFSET
    again = str(offset) if run is None else f"{offset}@{run}"
    assert parse_last_event_id(again) == (offset, run)
