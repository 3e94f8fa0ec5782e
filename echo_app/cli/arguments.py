"""Parsers of the values of options.

Each takes the text that the user typed, and raises ``ValueError`` with the reason if the text is wrong.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence

from echo_app.accesslog.file import STANDARD_OUTPUT
from echo_app.addresses import ipAddressOf, isGroup
from echo_app.hints import didYouMean
from echo_app.quantities import WHOLE_SECONDS
from echo_app.service.endpoints import isSocket
from echo_app.transport.sockets import Keepalive

_PORTS = re.compile("([0-9]{1,5})(?:-([0-9]{1,5}))?")


def portNumbers(text: str) -> Sequence[int]:
    """Returns a TCP or UDP port, 0 for any free one, or those of a range such as ``9000-9010``."""
    match = _PORTS.fullmatch(text)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, -1)
    if last > 65535 or last < first or (first == 0 and last > 0):
        raise ValueError("a port is a number from 0 to 65535, or a range such as 9000-9010")
    return range(first, last + 1)


def portsOrSocket(text: str) -> Sequence[int | str]:
    """Returns the ports of a text, or the text alone if it is the description of a UNIX or systemd socket."""
    if isSocket(text):
        return [text]
    try:
        return portNumbers(text)
    except ValueError as error:
        raise ValueError(f"{error}, or a socket such as unix:/run/echo or systemd:0") from None


def interfaceAddress(text: str) -> str:
    """Returns the literal of an address that a host can bind."""
    try:
        address = ipAddressOf(text)
    except ValueError:
        raise ValueError(f"not an IPv4 or IPv6 address{didYouMean(_likelyAddresses(text))}") from None
    if isGroup(address):
        raise ValueError("a multicast or broadcast address; an interface needs an address of its own")
    return text


def _likelyAddresses(text: str) -> list[str]:
    """Returns the addresses that a wrong text may mean: a name, an address in brackets, or with a port."""
    if text == "localhost":
        return ["127.0.0.1", "::1"]
    host = text.rpartition(":")[0]
    for each in (text, host):
        try:
            return [str(ipAddressOf(each.removeprefix("[").removesuffix("]")))]
        except ValueError:
            continue
    return []


def wholeNumber(text: str) -> int:
    """Returns a whole number, 0 or more."""
    if not (text.isascii() and text.isdecimal()):
        raise ValueError("not a whole number, 0 or more")
    return int(text)


def keepaliveOf(text: str) -> Keepalive | None:
    """Returns the settings of a text such as ``60,10,6``; None for 0."""
    if text == "0":
        return None
    parts = text.split(",")
    if len(parts) != 3:
        raise ValueError("not IDLE,INTERVAL,COUNT, such as 60,10,6 or 5min,10s,6, nor 0")
    idle, interval = (int(WHOLE_SECONDS.parse(each)) for each in parts[:2])
    return Keepalive(idle, interval, wholeNumber(parts[2]))


def filePath(text: str) -> str:
    """Returns the absolute path of a file in a writable directory."""
    path = os.path.abspath(text)
    if not text or os.path.isdir(path):
        raise ValueError("not a file's name")
    folder = os.path.dirname(path)
    if not (os.path.isdir(folder) and os.access(folder, os.W_OK)):
        raise ValueError("its directory can't be written to")
    return path


def logPath(text: str) -> str:
    """Returns the absolute path of a log file, or ``-`` unchanged."""
    path = os.path.abspath(text)
    if not text or os.path.isdir(path):
        raise ValueError("neither a file's name nor -")
    return text if text == STANDARD_OUTPUT else path


def noneForZero(parse: Callable[[str], float]) -> Callable[[str], float | None]:
    """Returns a parser that returns None for 0, for limits."""
    return lambda text: parse(text) or None
