"""Check ``peer``: the client's address as the service sees it, where a first line of JSON states it."""

from __future__ import annotations

import ipaddress
import json

from echo_app.probe.checks.check import Check, Context, Cost, Result, passed, skipped
from echo_app.probe.net.stream import Stream

# Seconds in which the line begins, and bytes of the longest line: it has a few addresses and names.
LINE_TIMEOUT, LONGEST_LINE = 2.0, 4096

Address = tuple[str, int]


def addressOf(text: object) -> Address | None:
    """Reads ``192.0.2.1:4711`` or ``[2001:db8::1]:4711``; returns None for other texts."""
    host, _, port = str(text).rpartition(":")
    try:
        return str(ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))), int(port)
    except ValueError:
        return None


def described(address: Address) -> str:
    """Formats an address."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def judge(line: bytes, own: Address, speaksTLS: bool) -> Result:
    """Judges the service's first line.

    :param line: the received bytes; empty if there were none.
    :param own: our address of the connection.
    :param speaksTLS: our end uses TLS.
    """
    try:
        said = json.loads(line) if line.endswith(b"\n") else None
    except (ValueError, RecursionError):
        said = None
    peer = addressOf(said.get("peer")) if isinstance(said, dict) else None
    if not isinstance(said, dict) or peer is None:
        return skipped("peer", "the service does not say")
    parts = [f"seen as {described(peer)}"]
    if peer[0] != own[0]:
        parts.append(f"ours is {described(own)}: a NAT or a proxy is between")
    elif peer[1] != own[1]:
        parts.append(f"our port is {own[1]}: a NAT or a proxy is between")
    else:
        parts.append("as we are")
    proxy = addressOf(said.get("proxy"))
    if proxy is not None:
        parts.append(f"by word of a proxy at {described(proxy)}")
    if bool(said.get("tls")) != speaksTLS:
        parts.append("TLS ends before the service" if speaksTLS else "TLS begins on the way")
    return passed("peer", ", ".join(parts), peer=described(peer), own=described(own), said=said)


class Peer(Check):
    """Reads the line that the service sends first, on one connection."""

    name = "peer"

    def reasonToSkip(self, context: Context) -> str:
        """Skips targets without addresses."""
        return "" if context.target.kind in ("tcp", "tls") else "not over TCP"

    def cost(self, context: Context) -> Cost:
        """Returns the cost of one connection."""
        return Cost(0, 1, LINE_TIMEOUT)

    async def run(self, context: Context) -> Result:
        """Connects, and reads the line."""
        async with await context.connect() as stream:
            own = stream.sock.getsockname()[:2]
            return judge(await _firstLine(stream), own, context.target.kind == "tls")


async def _firstLine(stream: Stream) -> bytes:
    line = bytearray()
    while len(line) < LONGEST_LINE and not line.endswith(b"\n"):
        more = await stream.read(LINE_TIMEOUT, LONGEST_LINE)
        if not more:
            break
        line += more
    return bytes(line)
