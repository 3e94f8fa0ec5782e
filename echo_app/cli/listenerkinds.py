"""The kinds of listeners of the command line, in the order in which a service opens them.

The endpoints of the service, and the errors that name an option of a listener, are made from this table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from twisted.internet.endpoints import TCP4ServerEndpoint, TCP6ServerEndpoint
from twisted.python.usage import UsageError

from echo_app.addresses import isLoopbackHost
from echo_app.service.endpoints import BadDescription, NamedEndpoint, endpointFromDescription, isPrivate
from echo_app.service.listeners import BACKLOG
from echo_app.udp.port import DatagramEndpoint


class ListenerKind(NamedTuple):
    """A kind of listener, which a repeatable option opens.

    :param option: the name of the option.
    :param endpoint: returns the endpoint for a reactor, a value and, if `isBound`, an interface; raises
        ``BadDescription`` with the reason.
    :param isStream: whether it carries streams; false is datagrams.
    :param isBound: whether a value opens a listener on each address of ``--interface``, with the header of
        ``--proxy-protocol`` for streams. Otherwise the value alone says where.
    :param isTLS: whether its streams use TLS.
    :param isPrivate: says whether only this machine, or TLS, reads what is sent to an address of
        ``--interface``, or to a value of a kind that is not bound.
    """

    option: str
    endpoint: Callable[..., object]
    isStream: bool = True
    isBound: bool = True
    isTLS: bool = False
    isPrivate: Callable[[str], bool] = isLoopbackHost

    def endpoints(self, options: Mapping[str, Any], reactor: object) -> Iterator[Any]:
        """Yields the endpoints that the options ask for; their errors have the option's name.

        :raise UsageError: when an endpoint can't be made.
        """
        for value in options[self.option]:
            for place in [(each,) for each in options["interface"]] if self.isBound else [()]:
                name = f"--{self.option} {f'{value} on {place[0]}' if place else repr(value)}"
                try:
                    endpoint = self.endpoint(reactor, value, *place)
                except BadDescription as error:
                    raise UsageError(f"{name}: {error}") from None
                yield NamedEndpoint(name, endpoint)

    def exposed(self, options: Mapping[str, Any]) -> Iterator[str]:
        """Yields the options by which others can read what its listeners are sent."""
        option = "interface" if self.isBound else self.option
        for place in options[option] if options[self.option] else ():
            if not self.isPrivate(place):
                yield f"--{option} {place!r}"


def _tcp(reactor: object, port: int, interface: str) -> object:
    kind = TCP6ServerEndpoint if ":" in interface else TCP4ServerEndpoint
    return kind(reactor, port, BACKLOG, interface)


KINDS = (
    ListenerKind("port", _tcp),
    ListenerKind("tls", _tcp, isTLS=True, isPrivate=lambda interface: True),
    ListenerKind("listen", endpointFromDescription, isBound=False, isPrivate=isPrivate),
    ListenerKind("udp", DatagramEndpoint, isStream=False),
)
STREAMS = tuple(each for each in KINDS if each.isStream)
DATAGRAMS = tuple(each for each in KINDS if not each.isStream)
BOUND = tuple(each for each in KINDS if each.isBound)
PROXIED = tuple(each for each in BOUND if each.isStream)


def isAsked(kinds: Iterable[ListenerKind], options: Mapping[str, Any]) -> bool:
    """Returns whether the options ask for a listener of these kinds."""
    return any(options[each.option] for each in kinds)


def listed(kinds: Iterable[ListenerKind], word: str = "or") -> str:
    """Returns the options of kinds for a sentence: ``--port, --tls or --udp``."""
    *names, last = (f"--{each.option}" for each in kinds)
    return f"{', '.join(names)} {word} {last}" if names else last
