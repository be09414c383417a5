"""
Gives a command the connection as its standard output: PORT COMMANDS.

The response ends with the close; no server can stream with less work. There is a
process for each processor, since a process that starts another waits for its exec.
"""

import json
import os
import signal
import socket
import sys
from pathlib import Path

COMMANDS = json.loads(Path(sys.argv[2]).read_text())

signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the children are not waited for
listening = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=4096)
for _ in range((os.cpu_count() or 1) - 1):
    if not os.fork():
        break
while True:
    connection, _ = listening.accept()
    with connection:
        request = connection.recv(65536)
        if not request:  # a probe of the port
            continue
        argv = COMMANDS[request.split()[1].decode().strip("/")]
        connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
        to_stdout = [(os.POSIX_SPAWN_DUP2, connection.fileno(), 1)]
        # Commands must not inherit ignored signals: ours, nor SIGPIPE, as Python does.
        os.posix_spawn(
            argv[0],
            argv,
            os.environ,
            file_actions=to_stdout,
            setsigdef=[signal.SIGCHLD, signal.SIGPIPE],
        )
