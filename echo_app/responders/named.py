"""Responders by name: built-in ones, or ``package.module:name``."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from echo_app.hints import didYouMean, nearest
from echo_app.responders.answering import AnsweringDatagramProtocol, AnsweringProtocol
from echo_app.responders.answers import Answers, framingOf
from echo_app.responders.builtin import (
    ChargenDatagramProtocol,
    ChargenProtocol,
    DiscardDatagramProtocol,
    DiscardProtocol,
    PeerDatagramProtocol,
    PeerProtocol,
)
from echo_app.responders.framing import lengthPrefixed
from echo_app.stream.protocol import EchoProtocol
from echo_app.udp.protocol import DatagramRules, EchoDatagramProtocol

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from echo_app.interfaces import IResponder


@dataclass(frozen=True, slots=True)
class Responder:
    """The protocols that answer the streams and the datagrams of a service.

    :param stream: makes the protocol of a connection.
    :param datagrams: makes the protocol of a UDP port.
    :param unanswered: counts requests without an answer, by reason.
    :param hasMessages: the stream is of framed answers, so that faults can choose among them.
    """

    stream: Callable[[], EchoProtocol]
    datagrams: Callable[[DatagramRules], EchoDatagramProtocol]
    unanswered: Counter[str] = field(default_factory=Counter)
    hasMessages: bool = False


def _same(request: bytes) -> bytes:
    return request


def _sameOfItsLength(request: bytes) -> bytes:
    return request


_sameOfItsLength.framing = lengthPrefixed  # type: ignore[attr-defined]

_OWN = {
    "echo": Responder(EchoProtocol, EchoDatagramProtocol),
    "discard": Responder(DiscardProtocol, DiscardDatagramProtocol),
    "chargen": Responder(ChargenProtocol, ChargenDatagramProtocol),
    "peer": Responder(PeerProtocol, PeerDatagramProtocol),
}
_FUNCTIONS = {"lines": _same, "length-prefixed": _sameOfItsLength}

NAMES = ("echo", "discard", "chargen", "lines", "length-prefixed", "peer")


def responderOf(text: str) -> str | Callable[[Any], Any]:
    """Returns the responder that the command line names: a built-in one by its name, or the user's object.

    :param text: one of ``NAMES``, or ``package.module:name``, where `name` may have dots.
    :raise ValueError: when there is no such responder; the text has the reason.
    """
    if text in NAMES:
        return text
    module, _, name = text.partition(":")
    if not (module and name):
        near = didYouMean(nearest(text, NAMES))
        raise ValueError(f"neither of {', '.join(NAMES)} nor package.module:name{near}")
    if "/" in module or module.startswith("."):
        raise ValueError(f"a module is named by its dotted name, not by its file{_moduleHint(module, name)}")
    if os.getcwd() not in sys.path:
        # As python -m does; under twist, the folder of the script is there instead.
        sys.path.append(os.getcwd())
    try:
        loaded = import_module(module)
    except ModuleNotFoundError as error:
        hint = _moduleHint(module, name) if os.path.isfile(module) else ""
        raise ValueError(f"there is no module {error.name}{hint}") from error
    except (Exception, SystemExit) as error:
        raise ValueError(f"its module raises {type(error).__name__}: {error}") from error
    try:
        responder: Callable[[Any], Any] = attrgetter(name)(loaded)
    except AttributeError as error:
        raise ValueError(f"its module has no such name: {error}") from error
    framingOf(responder)
    return responder


def _moduleHint(path: str, name: str) -> str:
    """Returns the end of an error about a file that stands for a module: the module's dotted name."""
    module = os.path.relpath(path).removesuffix(".py").replace(os.sep, ".")
    # Another folder than the current one, or its parts, must be on sys.path.
    return "" if module.startswith(".") else didYouMean([f"{module}:{name}"])


def hasFraming(responder: object) -> bool:
    """Says whether a responder, as of :func:`makeResponder`, answers a stream by framed messages."""
    return not isinstance(responder, str) or responder not in _OWN


def makeResponder(
    responder: str | IResponder | Callable[[Any], Any], clock: IReactorTime, timeout: float | None
) -> Responder:
    """Returns the protocols of a responder.

    :param responder: a name, as for :func:`responderOf`, or a function, or an ``IResponder``.
    :param clock: measures the time-outs.
    :param timeout: seconds that an answer may take; None is no limit.
    :raise ValueError: when there is no such responder.
    """
    if isinstance(responder, str):
        responder = responderOf(responder)
    if isinstance(responder, str):
        if responder in _OWN:
            return _OWN[responder]
        responder = _FUNCTIONS[responder]
    answers = Answers(responder, clock, timeout)
    return Responder(
        partial(AnsweringProtocol, answers),
        partial(AnsweringDatagramProtocol, answers),
        answers.unanswered.byReason,
        hasMessages=True,
    )
