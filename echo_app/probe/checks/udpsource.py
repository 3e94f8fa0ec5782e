"""Labelled datagrams, and the fate of each.

Every datagram carries the labels of its source (:mod:`echo_app.probe.checks.labels`), so that an answer is
matched with its datagram, compared with it, and attributed to its owner when it comes to another socket.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import Any

from echo_app.probe.checks.labels import BLOCK, LabelledBytes, labelsIn
from echo_app.probe.checks.peer import parsed
from echo_app.probe.net.datagrams import DatagramSocket
from echo_app.targets import Target

# The first bytes of a datagram are random; so many of them tell it from the others of its source.
KEY = 8

# Seconds in which a longer answer without a label may be that of a datagram of fewer bytes than these.
LONGER_WAIT = 1.0


@dataclass(slots=True, eq=False)
class Datagram:
    """A datagram that was sent, and its fate. Moments are seconds since the examination's begin.

    :ivar source: the number of its source.
    :ivar index: in the order of its source, from 0.
    :ivar size: payload bytes.
    :ivar phase: the part of the check that sent it.
    :ivar came: the moment of the first answer that is equal to it; None without one.
    :ivar copies: further answers that are equal to it.
    :ivar changed: bytes of an answer that differs; None without one.
    :ivar isCut: that answer is the beginning of the datagram.
    :ivar tail: the bytes behind the datagram, in an answer that begins with it.
    :ivar bits: the number of bits that differ, in an answer of the same length.
    :ivar elsewhere: the address that the answer came from, if it is not the target's.
    :ivar overtaken: later datagrams of its source that were answered before it (RFC 4737, 4.2).
    :ivar seenAs: our address, if the service answers with it (its responder ``peer``).
    """

    source: int
    index: int
    size: int
    phase: str
    sent: float
    came: float | None = None
    copies: int = 0
    changed: int | None = None
    isCut: bool = False
    tail: bytes = b""
    bits: int = 0
    elsewhere: str = ""
    overtaken: int = 0
    seenAs: str = ""

    @property
    def isLost(self) -> bool:
        """Says whether no answer came, not even a changed one."""
        return self.came is None and self.changed is None

    @property
    def roundTrip(self) -> float | None:
        """Seconds until the answer came; None without an equal one."""
        return None if self.came is None else self.came - self.sent


@dataclass(frozen=True, slots=True)
class Stray:
    """A datagram that came to a source, and that answers none of its datagrams.

    :param source: the number of the source that it came to.
    :param owner: the number of the source whose labels it has; None if it has none.
    :param isOurs: the labels are those of this examination.
    """

    source: int
    size: int
    owner: int | None = None
    isOurs: bool = False


class Source(DatagramSocket):
    """A socket whose datagrams are labelled and recorded.

    Foreign datagrams without labels are ignored unless they come from the target.

    :param number: of the source, in the labels.
    :param examination: four random bytes, which the labels contain.
    :param start: the examination's begin, in seconds of the reactor.
    :ivar sent: all datagrams, in their order.
    :ivar strays: what came and answers none of them.
    """

    def __init__(
        self,
        reactor: Any,
        target: Target,
        random: Random,
        number: int = 0,
        examination: bytes = bytes(4),
        start: float = 0.0,
    ) -> None:
        super().__init__(reactor, target)
        self.number = number
        self.sent: list[Datagram] = []
        self.strays: list[Stray] = []
        self._examination = examination
        self._start = start
        self._labelled = LabelledBytes(examination, number, random)
        # Datagrams and their bytes, by their first bytes; and these, by the number of each block.
        self._known: dict[bytes, tuple[Datagram, bytes]] = {}
        self._blocks: list[bytes] = []
        # An answer that has a datagram's first bytes was longer: then any further bytes may be such a tail.
        self._hasTails = False

    def send(self, size: int, phase: str) -> Datagram:
        """Sends a datagram of that many bytes; one that the kernel does not take counts as lost."""
        blocks = max(1, -(-size // BLOCK))
        data = self._labelled.take(blocks * BLOCK)[:size]
        datagram = Datagram(self.number, len(self.sent), size, phase, self._now())
        self.sent.append(datagram)
        self._known[data[:KEY]] = datagram, data
        self._blocks += [data[:KEY]] * blocks
        self.transmit(data)
        return datagram

    def received(self, data: bytes, address: str = "") -> None:
        """Records an answer.

        :param address: where it came from, if not from the target.
        """
        now, owner = self._now(), None
        found = self._known.get(data[:KEY]) or self._byLabel(data)
        if found is None:
            owner = ownerOf(data)
        if found is None and owner is None and not address:
            found = self._oldest(data) or self._shorter(data)
        if found is not None:
            self._answered(*found, data, address, now)
        elif owner is not None:
            self.strays.append(Stray(self.number, len(data), owner[1], owner[0] == self._examination))
        elif not address:
            self.strays.append(Stray(self.number, len(data)))

    def _answered(self, datagram: Datagram, sent: bytes, data: bytes, address: str, now: float) -> None:
        datagram.elsewhere = datagram.elsewhere or address
        said = parsed(data).get("peer") if data != sent else None
        if data != sent and said is None:
            datagram.changed = len(data)
            datagram.isCut = sent.startswith(data)
            datagram.tail = data[len(sent) :] if data.startswith(sent) else b""
            self._hasTails |= bool(datagram.tail) and len(sent) >= KEY
            datagram.bits = sum((a ^ b).bit_count() for a, b in zip(sent, data, strict=False))
        elif datagram.came is not None:
            datagram.copies += 1
        else:
            datagram.came, datagram.seenAs = now, str(said or "")
            datagram.overtaken = sum(each.came is not None for each in self.sent[datagram.index + 1 :])

    def _byLabel(self, data: bytes) -> tuple[Datagram, bytes] | None:
        """Returns the datagram of a changed answer: of those that its labels name, the one most like it."""
        indexes = (
            label.offset // BLOCK
            for label in labelsIn(data)
            if (label.examination, label.connection) == (self._examination, self.number)
        )
        found = [self._known[self._blocks[index]] for index in indexes if index < len(self._blocks)]
        return max(found, key=lambda each: _alike(each[1], data), default=None)

    def _oldest(self, data: bytes) -> tuple[Datagram, bytes] | None:
        """Returns the oldest lost datagram that an answer without a label may be, cut or changed."""
        isLine = "peer" in parsed(data)
        lost = (each for each in self._known.values() if each[0].isLost)
        fits = (each for each in lost if isLine or each[1].startswith(data) or len(each[1]) == len(data))
        return next(fits, None)

    def _shorter(self, data: bytes) -> tuple[Datagram, bytes] | None:
        """Returns the longest of the outstanding datagrams without a whole key that an answer begins with.

        An empty one is the begin of everything: the further bytes must be zeros, or be usual on this path.
        """
        since = self._now() - LONGER_WAIT
        short = [
            (datagram, sent)
            for datagram, sent in self._known.values()
            if len(sent) < KEY and datagram.sent > since and (datagram.isLost or datagram.tail)
        ]
        fits = (
            each
            for each in short
            if data.startswith(each[1]) and (self._hasTails or not any(data[len(each[1]) :]))
        )
        return max(fits, key=lambda each: len(each[1]), default=None)

    def _now(self) -> float:
        return float(self._reactor.seconds()) - self._start


def _alike(sent: bytes, came: bytes) -> int:
    return sum(a == b for a, b in zip(sent, came, strict=False))


def ownerOf(data: bytes) -> tuple[bytes, int] | None:
    """Returns the examination and the source that two labels in a row name: a flipped bit changes one."""
    owners = [(each.examination, each.connection) for each in labelsIn(data)]
    return next((one for one, more in pairwise(owners) if one == more), None)
