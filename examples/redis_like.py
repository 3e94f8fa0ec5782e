"""A very small Redis. Start it in this folder::

    twistd -n --pidfile= echo --port 6379 --responder redis_like:answer

It has PING, ECHO, SET and GET, in the protocol of Redis clients (RESP 2). The framing finds the end of a
command, and the responder makes the answer. The service handles clients that pipeline, vanish, or send single
bytes.
"""

from echo_app import BadRequest, Framing

values = {}


def number(line, kind):
    """Returns the number in a line such as ``$5``, which must begin with the kind."""
    if line[:1] != kind or not line[1:-2].isdigit():
        raise BadRequest(f"{line!r} for {kind!r}", b"-ERR Protocol error\r\n")
    return int(line[1:-2])


def readCommand():
    """Reads an array of strings, each with its length before it."""
    words = []
    for _ in range(number((yield b"\r\n"), b"*")):
        size = number((yield b"\r\n"), b"$")
        words.append((yield size + 2)[:-2])
    return words


def answer(command):
    """Answers a command, which is a list of its words."""
    match [command[0].upper(), *command[1:]] if command else []:
        case [b"PING"]:
            return b"+PONG\r\n"
        case [b"ECHO", text]:
            return b"$%d\r\n%s\r\n" % (len(text), text)
        case [b"SET", key, value]:
            values[key] = value
            return b"+OK\r\n"
        case [b"GET", key]:
            value = values.get(key)
            return b"$-1\r\n" if value is None else b"$%d\r\n%s\r\n" % (len(value), value)
    return b"-ERR unknown command\r\n"


answer.framing = Framing(readCommand, longest=1 << 20)
