"""
Streams a command's output: PORT COMMANDS.

Under C{/shared/} the first client starts the command, and all clients that come before
it writes see the same run.
"""

import json
import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

COMMANDS = json.loads(Path(sys.argv[2]).read_text())


class Child(ProcessProtocol):
    def __init__(self, name: str) -> None:
        self.viewers: set[Request] = set()
        argv = COMMANDS[name]
        reactor.spawnProcess(self, argv[0], argv)

    def outReceived(self, data: bytes) -> None:
        for request in self.viewers:
            request.write(data)

    def processEnded(self, reason: object) -> None:
        for request in self.viewers:
            request.finish()

    def add(self, request: Request, *, alone: bool) -> None:
        self.viewers.add(request)
        request.write(b"")
        request.notifyFinish().addErrback(lambda _: self.remove(request, alone=alone))

    def remove(self, request: Request, *, alone: bool) -> None:
        self.viewers.discard(request)
        if alone:
            assert self.transport is not None
            try:
                self.transport.signalProcess("KILL")
            except ProcessExitedAlready:
                return


class Stream(Resource):
    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.shared: dict[str, Child] = {}

    def render_GET(self, request: Request) -> int:
        *shared, name = request.path.decode().strip("/").split("/")
        if not shared:
            Child(name).add(request, alone=True)
            return NOT_DONE_YET
        if name not in self.shared:
            self.shared[name] = Child(name)
        self.shared[name].add(request, alone=False)
        return NOT_DONE_YET

    render_POST = render_GET


factory: Any = Site(Stream())
reactor.listenTCP(int(sys.argv[1]), factory, backlog=4096, interface="127.0.0.1")
reactor.run()
