"""The kinds of listeners of the command line, in the order in which a service opens them.

A value is a port, bound on each address of ``--interface``, or a text that alone names the place.

The endpoints of the service, and the errors that name an option of a listener, are made from this table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from twisted.internet.endpoints import TCP4ServerEndpoint, TCP6ServerEndpoint
from twisted.python.usage import UsageError

from echo_app.addresses import isLoopbackHost
from echo_app.service.endpoints import (
    BACKLOG,
    BadDescription,
    NamedEndpoint,
    endpointFromDescription,
    isPrivate,
    isSocket,
)
from echo_app.udp.port import DatagramEndpoint


class ListenerKind(NamedTuple):
    """A kind of listener, which a repeatable option opens.

    :param option: the name of the option.
    :param endpoint: returns the endpoint for a reactor, a value and, if the value is bound, an interface;
        raises ``BadDescription`` with the reason.
    :param isStream: whether it carries streams; false is datagrams.
    :param isBound: whether a value may be a port, which opens a listener on each address of ``--interface``.
        Any other value alone says where.
    :param isTLS: whether its streams use TLS.
    :param isProxied: says whether ``--proxy-protocol`` applies to the listeners of a value.
    :param isPrivate: says whether only this machine, or TLS, reads what is sent to an address of
        ``--interface``, or to a value that is not bound.
    """

    option: str
    endpoint: Callable[..., object]
    isStream: bool = True
    isBound: bool = True
    isTLS: bool = False
    isProxied: Callable[[Any], bool] = lambda value: True
    isPrivate: Callable[[str], bool] = isLoopbackHost

    def endpoints(self, options: Mapping[str, Any], reactor: object) -> Iterator[tuple[Any, bool]]:
        """Yields each endpoint that the options ask for, and whether ``--proxy-protocol`` applies to it.

        The errors of an endpoint have the option's name.

        :raise UsageError: when an endpoint can't be made.
        """
        for value in options[self.option]:
            for place in [(each,) for each in options["interface"]] if self.binds(value) else [()]:
                name = f"--{self.option} {f'{value} on {place[0]}' if place else repr(value)}"
                try:
                    endpoint = self.endpoint(reactor, value, *place)
                except BadDescription as error:
                    raise UsageError(f"{name}: {error}") from None
                yield NamedEndpoint(name, endpoint), self.isStream and self.isProxied(value)

    def binds(self, value: object) -> bool:
        """Says whether a value opens a listener on each address of ``--interface``."""
        return self.isBound and isinstance(value, int)

    def exposed(self, options: Mapping[str, Any]) -> Iterator[str]:
        """Yields the options by which others can read what its listeners are sent."""
        values = options[self.option]
        places = [("interface", each) for each in options["interface"] if any(map(self.binds, values))]
        places += [(self.option, each) for each in values if not self.binds(each)]
        for option, place in places:
            if not self.isPrivate(place):
                yield f"--{option} {place!r}"


def _tcp(reactor: object, port: int, interface: str) -> object:
    kind = TCP6ServerEndpoint if ":" in interface else TCP4ServerEndpoint
    return kind(reactor, port, BACKLOG, interface)


def _tls(reactor: object, where: int | str, *interface: str) -> object:
    """Returns the endpoint of a port on an interface, or of a description."""
    if isinstance(where, int):
        return _tcp(reactor, where, *interface)
    return endpointFromDescription(reactor, where)


KINDS = (
    ListenerKind("port", _tcp),
    ListenerKind("tls", _tls, isTLS=True, isPrivate=lambda place: True),
    ListenerKind("listen", endpointFromDescription, isBound=False, isProxied=isSocket, isPrivate=isPrivate),
    ListenerKind("udp", DatagramEndpoint, isStream=False),
)
STREAMS = tuple(each for each in KINDS if each.isStream)
DATAGRAMS = tuple(each for each in KINDS if not each.isStream)
BOUND = tuple(each for each in KINDS if each.isBound)

# The listeners of --proxy-protocol, for a sentence.
PROXIED = "--port, --tls, or --listen unix: or systemd:"


def isBoundAsked(options: Mapping[str, Any]) -> bool:
    """Returns whether the options ask for a listener on an address of ``--interface``."""
    return any(each.binds(value) for each in KINDS for value in options[each.option])


def isProxiedAsked(options: Mapping[str, Any]) -> bool:
    """Returns whether the options ask for a listener that ``--proxy-protocol`` applies to."""
    return any(each.isProxied(value) for each in STREAMS for value in options[each.option])


def isAsked(kinds: Iterable[ListenerKind], options: Mapping[str, Any]) -> bool:
    """Returns whether the options ask for a listener of these kinds."""
    return any(options[each.option] for each in kinds)


def listed(kinds: Iterable[ListenerKind], word: str = "or") -> str:
    """Returns the options of kinds for a sentence: ``--port, --tls or --udp``."""
    *names, last = (f"--{each.option}" for each in kinds)
    return f"{', '.join(names)} {word} {last}" if names else last
