"""
C{/openapi.json}: all that is answered here, for machines (OpenAPI 3.1).

Bounds, names and formats come from where they are in force; a test compares paths,
methods and parameters with what the resources do.
"""

from collections.abc import Iterator

from shellstream import __version__
from shellstream.config.command import Command
from shellstream.config.loader import Config
from shellstream.config.parameter_schema import parameters
from shellstream.model.events import State, Stream
from shellstream.output.formats import Plain
from shellstream.web.resources.base import JSON
from shellstream.web.resources.query import MAX_OFFSET
from shellstream.web.resources.run_output import MAX_TAIL, TRAILERS
from shellstream.web.resources.runs import MAX_PAGE, PAGE
from shellstream.web.resources.tick_stream import (
    COUNT,
    INTERVAL,
    MAX_COUNT,
    MAX_IDLE,
    MAX_INTERVAL,
)

from .components import (
    FORMAT,
    HEADERS,
    HTML,
    KEY,
    LAST,
    OUTPUT,
    PARAMETERS,
    RUN,
    Object,
    answer,
    json_of,
    number,
    operation,
    parameter,
    problems,
    reading,
    security,
)
from .schemas import FLAG, RUN_ID, TEXT, configured, one_of, parameters_of, ref

_FORM = "application/x-www-form-urlencoded"
_OFFSET = number(0, MAX_OFFSET)


def document(config: Config, required: bool, cookie: str) -> Object:
    """
    What a daemon answers.

    @param config: with the commands that whoever asks may run.
    @param required: whether everybody has to say who they are.
    @param cookie: the name of a session's.
    """
    ways = security(cookie)
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "shellstream",
            "version": __version__,
            "description": "Runs commands, and streams their output live. To methods "
            "that are not told of here a path answers 405. The schema of "
            "text/event-stream is that of each event, that of application/x-ndjson "
            "of each line.",
        },
        "security": [*({name: []} for name in ways), *([] if required else [{}])],
        "paths": {
            **_about(config),
            **dict(_streams(config)),
            **_runs(config),
            **_daemon(),
            **_entrance(),
        },
        "components": {
            "schemas": configured(config),
            "parameters": PARAMETERS,
            "headers": HEADERS,
            "responses": problems(),
            "securitySchemes": ways,
        },
    }


def _about(config: Config) -> Object:
    index = {**json_of("Index"), **HTML}
    names = one_of(config.commands)
    name = parameter("name", "The command's name", names, "path", required=True)
    there = {200: answer("Where to go on; for a browser, the console", index)}
    commands = {200: answer("Each as at its own path", json_of("Commands"))}
    command = {200: answer("It", json_of("Command"))}
    about = "A command, how to run it, its parameters as JSON Schema"
    paths = {
        "/": reading(operation("index", "What there is", there)),
        "/commands": reading(operation("commands", "All commands", commands)),
    }
    if config.commands:
        one = operation("command", about, command, [404], [name])
        paths["/commands/{name}"] = reading(one)
    return paths


def _streams(config: Config) -> Iterator[tuple[str, Object]]:
    if config.default is not None:
        command = config.commands[config.default]
        yield "/stream", _stream(command, "stream", by_get=True)
    for each in config.commands.values():
        stream = _stream(each, f"stream.{each.name}", by_get=each.get)
        yield f"/stream/{each.name}", stream


def _stream(command: Command, name: str, *, by_get: bool) -> Object:
    about = f"Run {command.name} and follow it to its end"
    headers = ("Shellstream-Run", "Trailer", *TRAILERS)
    output = {200: answer("What it writes", OUTPUT, *headers)}
    wrong = (404, 406, 410, 422, 503)
    form = [] if "format" in command.params else [FORMAT]
    schema = {"schema": ref(parameters_of(command))}
    required = bool(parameters(command)["required"])
    post = operation(
        f"{name}.post",
        f"{about}; parameters may be in the query instead, none of them twice",
        output,
        (*wrong, 413, 415),
        [KEY, *form],
        {"content": {_FORM: schema, JSON.decode(): schema}, "required": required},
    )
    if not by_get:
        return {"post": post}
    query = [
        parameter(
            each.name, each.description, each.schema(), required=each.default is None
        )
        for each in command.params.values()
    ]
    get = operation(name, about, output, wrong, [*query, KEY, LAST, *form])
    nothing = {200: answer("It starts nothing, and so there is no run", OUTPUT)}
    return {
        **reading(get, operation(name, "", nothing, [404, 406], form)),
        "post": post,
    }


def _runs(config: Config) -> Object:
    run = {200: answer("The run as it stands", json_of("Run"), "Shellstream-Run")}
    page = {200: answer("A page of them", json_of("Runs"), "Link")}
    filters = [
        parameter("state", "Those in this state", one_of(State)),
        parameter("command", "Those of this command", TEXT),
        parameter("limit", "How many at most", number(1, MAX_PAGE, PAGE)),
        parameter("after", "Those older than this", RUN_ID),
    ]
    headers = ("Location", "Shellstream-Run")
    started = {
        200: answer("Another's run, which this joined", json_of("Done"), *headers),
        201: answer("The run, which may have failed", json_of("Done"), *headers),
    }
    gone = {204: answer("It is forgotten")}
    return {
        "/runs": {
            **reading(operation("runs", "All, newest first", page, [503], filters)),
            "post": operation(
                "runs.post",
                "Start a run that nobody need watch",
                started,
                (404, 410, 413, 415, 422, 503),
                [KEY],
                {"content": json_of("Order"), "required": True},
            ),
        },
        "/runs/{id}": {
            **reading(operation("run", "A run", run, [404, 503], [RUN])),
            "delete": operation(
                "run.delete", "Forget an ended run", gone, (404, 409, 503), [RUN]
            ),
        },
        "/runs/{id}/output": _output(),
        **{
            f"/runs/{{id}}/{name}": {"post": post}
            for name, post in _steering(config.http.input_size)
        },
    }


def _output() -> Object:
    headers = ("Shellstream-Run", "Trailer", "Accept-Ranges", "ETag")
    output = {200: answer("What it wrote and writes", OUTPUT, *headers, *TRAILERS)}
    plain = {Plain().media_type: OUTPUT[Plain().media_type]}
    part = {206: answer("The range", plain, *headers, "Content-Range")}
    about = "The output of a run, from any offset on, then live"
    wrong = (404, 406, 410, 416, 503)
    given = [
        RUN,
        parameter("offset", "Its first byte", _OFFSET),
        parameter("tail", "Its last lines, in place of offset", number(0, MAX_TAIL)),
        parameter("stream", "Without the other one", one_of(Stream)),
        parameter("follow", "Wait for what is to come", {**FLAG, "default": True}),
        parameter("lossless", "Have the command wait for this viewer", FLAG),
        parameter("gap", "Leave out what is not kept any more", one_of(["skip"])),
        FORMAT,
        LAST,
    ]
    ranges = [
        parameter("Range", "Of plain output", TEXT, "header", example="bytes=0-"),
        parameter("If-Range", "The ETag that came with the rest", TEXT, "header"),
    ]
    get = operation("output", about, {**output, **part}, wrong, [*given, *ranges])
    return reading(get, operation("output", "", output, wrong, given))


def _steering(piece: int) -> Iterator[tuple[str, Object]]:
    run = {202: answer("It is on its way", json_of("Done"))}
    sized = {204: answer("It has that size")}
    taken = {204: answer("It took all of it", {}, "Shellstream-Stdin-Offset")}
    wrong = (404, 409, 503)
    yield "cancel", operation("run.cancel", "TERM, then KILL", run, wrong, [RUN])
    for name, about, answers, schema in (
        ("signal", "Send a signal to all of its processes", run, "Signal"),
        ("resize", "Give its terminal another size", sized, "Size"),
    ):
        body = {"content": json_of(schema), "required": True}
        asked = (answers, (*wrong, 413, 415), [RUN], body)
        yield name, operation(f"run.{name}", about, *asked)
    given = [
        RUN,
        parameter("offset", "Where in the whole input it begins", _OFFSET),
        parameter("eof", "Whether it is the last", FLAG),
    ]
    about = f"A piece of its input: {piece} bytes at most, of whatever type"
    body = {"content": {"application/octet-stream": {}}, "required": False}
    yield "stdin", operation("run.stdin", about, taken, (*wrong, 413), given, body)


def _daemon() -> Object:
    events = {"text/event-stream": {"schema": ref("RunEvent")}}
    news = {200: answer("They never end", events)}
    headers = ("Shellstream-Request-Version", "Trailer")
    ticks = {200: answer("Ticks, each with when it left", OUTPUT, *headers)}
    ticking = [
        parameter("count", "How many", number(1, MAX_COUNT, COUNT)),
        parameter("interval", "Seconds apart", number(0.0, MAX_INTERVAL, INTERVAL)),
        parameter("idle", "Silence before the last", number(0.0, MAX_IDLE, 0.0)),
        FORMAT,
    ]
    well = {200: answer("It lives, and can take runs", json_of("Health"))}
    this = {200: answer("It", {JSON.decode(): {"schema": {"type": "object"}}})}
    return {
        "/events": reading(
            operation(
                "events", "Runs as they are created, start, end", news, (), [LAST]
            )
        ),
        "/doctor": reading(
            operation("doctor", "A ticking clock", ticks, (406, 503), ticking)
        ),
        "/healthz": reading(
            operation("healthz", "How the daemon is", well, [503], public=True)
        ),
        "/openapi.json": reading(operation("openapi", "This document", this)),
    }


def _entrance() -> Object:
    page = {200: answer("A form", HTML)}
    then = parameter("next", "The path to go on to", TEXT)
    on = {303: answer("Go on", {"text/plain": {}}, "Location")}
    token = {"schema": ref("Login")}
    body = {"content": {_FORM: token, JSON.decode(): token}, "required": True}
    show = operation("login", "A form for a token", page, (), [then], public=True)
    return {
        "/login": {
            **reading(show),
            "post": operation(
                "login.post",
                "A token in exchange for a session's cookie",
                on,
                (413, 415),
                [],
                body,
                public=True,
            ),
        },
        "/logout": {"post": operation("logout", "End a session", on)},
    }
