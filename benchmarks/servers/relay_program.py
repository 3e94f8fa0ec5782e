"""Runs HAProxy or socat as a relay, with a configuration in the current folder.

Neither program writes a ready file or takes port 0. So this process chooses a port and becomes the program,
and a second process writes the ready file as soon as the program listens. The current folder should be a
temporary one.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from pathlib import Path

from benchmarks.servers.commandline import BACKLOG, Arguments, arguments

# One thread, no logging, and no time-out that a row could meet. HAProxy sets TCP_NODELAY without an option,
# and its backlog is `maxconn`.
CONFIGURATION = """\
global
    nbthread 1
    maxconn {backlog}
defaults
    mode tcp
    timeout connect 10s
    timeout client 1h
    timeout server 1h
listen relay
    bind 127.0.0.1:{port}
    server upstream {upstream}
"""

# Seconds between two looks whether the program listens.
_LOOK = 0.005


def command(name: str, port: int, wanted: Arguments) -> list[str]:
    """Returns the command of a program, and writes its configuration.

    :param name: the path of ``haproxy`` or ``socat``.
    :param port: the port to listen on.
    """
    if Path(name).name == "haproxy":
        text = CONFIGURATION.format(backlog=BACKLOG, port=port, upstream=wanted.forward)
        Path("haproxy.cfg").write_text(text)
        return [name, "-db", "-f", "haproxy.cfg"]
    listening = f"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,nodelay,backlog={BACKLOG},fork"
    return [name, listening, f"TCP:{wanted.forward},nodelay"]


def freePort() -> int:
    """Returns a port that is free at the moment."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def isListening(port: int) -> bool:
    """Says whether a process listens on a port of 127.0.0.1, without a connection to it."""
    # The socket's address, no peer, and the state TCP_LISTEN.
    wanted = f" 0100007F:{port:04X} 00000000:0000 0A "
    return wanted in Path("/proc/net/tcp").read_text()


def main() -> None:
    """Becomes the program that the first argument names."""
    wanted = arguments()
    port = freePort()
    words = command(sys.argv[1], port, wanted)
    program = os.getpid()
    if os.fork() == 0:
        while os.getppid() == program and not isListening(port):
            time.sleep(_LOOK)
        if os.getppid() == program:
            wanted.tellReady(port)
        os._exit(0)
    os.execv(words[0], words)


if __name__ == "__main__":
    main()
