"""Names of upstreams: looks up their addresses in threads of its own, one look-up of a name at a time.

Twisted's resolver shares ten threads with everything else, and a process does not end before the last of them
has. A thread of this module serves one look-up, and the exit does not wait for it.
"""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.error import DNSLookupError
from twisted.python.failure import Failure

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorFromThreads

# A family of sockets, and the name of a socket of that family.
SocketName = tuple[int, Any]


class Names:
    """Looks up the addresses of a host.

    :param reactor: takes the answers from the threads.
    """

    def __init__(self, reactor: IReactorFromThreads) -> None:
        self._reactor = reactor
        self._waiting: dict[tuple[str, int], list[Deferred[list[SocketName]]]] = {}

    def look(self, host: str, port: int) -> Deferred[list[SocketName]]:
        """Returns all addresses, IPv6 and IPv4 in turns (RFC 8305, section 4).

        :return: fails with ``DNSLookupError``; cancelling it changes nothing for others.
        """
        found: Deferred[list[SocketName]] = Deferred()
        waiting = self._waiting.setdefault((host, port), [])
        waiting.append(found)
        if len(waiting) == 1:
            threading.Thread(target=self._run, args=(host, port), daemon=True, name=f"look up {host}").start()
        return found

    def _run(self, host: str, port: int) -> None:
        """Asks the system's resolver; runs in a thread."""
        answer: list[SocketName] | Failure
        try:
            answer = inTurns(
                [
                    (int(family), name)
                    for family, *_, name in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                ]
            )
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            answer = Failure(DNSLookupError(f"{host}: {reason}"))
        self._reactor.callFromThread(self._answer, (host, port), answer)

    def _answer(self, key: tuple[str, int], answer: list[SocketName] | Failure) -> None:
        for found in self._waiting.pop(key):
            if not found.called:
                found.callback(answer)


def inTurns(names: list[SocketName]) -> list[SocketName]:
    """Returns the addresses with the families in turns, each in its order; the first one stays the first."""
    families = list(dict.fromkeys(family for family, _ in names))
    groups = [[each for each in names if each[0] == family] for family in families]
    longest = max(map(len, groups), default=0)
    return [group[place] for place in range(longest) for group in groups if place < len(group)]
