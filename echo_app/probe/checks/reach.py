"""Checks ``resolve`` and ``connect``: name resolution, and the time to connect."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from echo_app.probe.checks.check import Check, Context, Cost
from echo_app.probe.checks.evidence import Observation
from echo_app.probe.checks.labels import MESSAGE
from echo_app.probe.checks.record import ConnectionRecord
from echo_app.probe.net.addresses import addressesOf
from echo_app.probe.net.errors import ErrorKind, NetworkError, Reason
from echo_app.probe.net.stream import SILENCE
from echo_app.probe.net.waits import pause
from echo_app.probe.results.statistics import spread
from echo_app.targets import isLiteral

# How many connections are timed, and after how many time-outs there is no more trying.
CONNECTIONS, ENOUGH = 20, 3

# Connections in a row that are not served, for a limit; and seconds for which a limit on their rate may hold.
IN_A_ROW, _SPACE = 3, 1.5

# Seconds before each further attempt: limits on rates and restarts are over after some seconds.
PAUSES = (0.5, 1.0, 2.0, 4.0)

# How often an address is tried that does not work.
TRIES = 3

# Seconds to wait for an answer where there was none before.
_BRIEFLY = 1.0


@dataclass(slots=True)
class Addresses(Observation):
    """The addresses of a name.

    :ivar tried: why there is no connection to each of them; None: there is. Over UDP none is tried.
    """

    host: str = ""
    tried: dict[str, Reason | None] = field(default_factory=dict)

    @property
    def address(self) -> str | None:
        """Returns the first address that works."""
        return next((address for address, reason in self.tried.items() if not reason), None)

    @property
    def isFinal(self) -> bool:
        """Says whether no address works."""
        return bool(self.host) and self.address is None

    def __str__(self) -> str:
        if not self.host:
            return "no name in it"
        if not self.tried:
            return str(ErrorKind.UNRESOLVED)
        seen = f"{self.host} is an address" if isLiteral(self.host) else _families(list(self.tried))
        failures = "; ".join(f"{address}: {reason}" for address, reason in self.tried.items() if reason)
        return f"{seen}; {failures}" if failures else seen

    def data(self) -> Mapping[str, object]:
        """Returns the addresses, each with the reason for which it does not work."""
        texts = {address: str(reason or "") for address, reason in self.tried.items()}
        return {"host": self.host, "address": self.address, "addresses": texts}


class Resolve(Check[Addresses]):
    """Resolves the name, and connects once to each address."""

    name = "resolve"
    begin = Addresses

    def reasonToSkip(self, context: Context) -> str:
        """Returns no reason: an address is tried, too."""
        return ""

    def cost(self, context: Context) -> Cost:
        """Returns the cost of a connection to each of two addresses; there may be more."""
        return Cost(0, 2, 1)

    async def run(self, context: Context, seen: Addresses) -> None:
        """Resolves and connects; the other checks use the first address that works."""
        host = context.target.host
        if not host:
            return
        addresses = await addressesOf(context.reactor, host)
        seen.host = host
        for address in addresses:
            seen.tried[address] = await self._try(context, address) if context.target.isStream else None

    async def _try(self, context: Context, address: str) -> Reason | None:
        """Returns why there is no connection; None: there is. What fails at once may do so by chance."""
        reason = None
        for _ in range(TRIES):
            try:
                link = await context.connect(replace(context.target.at(address), kind="tcp"))
            except NetworkError as error:
                reason = error.reason
            else:
                await link.close()
                return None
            if reason.kind.isTimeOut:
                break
        return reason


def _families(addresses: list[str]) -> str:
    old = [each for each in addresses if ":" not in each]
    new = [each for each in addresses if ":" in each]
    said = [f"A {' '.join(old)}" if old else "no A", f"AAAA {' '.join(new)}" if new else "no AAAA"]
    return ", ".join(said)


@dataclass(slots=True)
class Connects(Observation):
    """Connections that were made one after the other.

    :ivar records: of the connections.
    :ivar later: of those that were tried after pauses, as none had been answered before.
    """

    records: list[ConnectionRecord] = field(default_factory=list)
    later: list[ConnectionRecord] = field(default_factory=list)

    @property
    def times(self) -> list[float]:
        """Seconds until each was there, over TLS with its handshake."""
        return [each.shaken or each.connected or 0.0 for each in self.records if each.isMade]

    @property
    def answers(self) -> list[float]:
        """Seconds from the first byte that each sent to its first answer."""
        return [each.firstAnswer for each in self.records if each.firstAnswer is not None]

    @property
    def servedFirst(self) -> int:
        """The number of connections that were served before some in a row were refused; 0 if none were."""
        count = next((n for n, each in enumerate(self.records) if not each.isServed), 0)
        refused = self.records[count : count + IN_A_ROW]
        isRefusal = len(refused) == IN_A_ROW and all(each.failure or each.end for each in refused)
        return count if isRefusal and not any(each.isServed for each in refused) else 0

    @property
    def isFinal(self) -> bool:
        """Says whether no connection was made."""
        return bool(self.records) and not any(each.isMade for each in (*self.records, *self.later))

    def __str__(self) -> str:
        parts = [spread(self.times)] if self.times else []
        if self.answers:
            parts.append(f"first answer {spread(self.answers)}")
        failures = Counter(
            str(each.failure or each.endOrSilence) for each in self.records if not each.isServed
        )
        tried = len(self.records)
        parts += [
            f"{count} of {tried} {reason}" for reason, count in failures.most_common() if reason != "None"
        ]
        if self.later:
            served = sum(each.isServed for each in self.later)
            parts.append(f"after pauses {served} of {len(self.later)} answered")
        return "; ".join(parts)

    def data(self) -> Mapping[str, object]:
        """Returns the times, in seconds, and the counts."""
        return {
            "seconds": self.times,
            "answers": self.answers,
            "served": sum(each.isServed for each in self.records),
            "tried": len(self.records),
            "later": [each.isServed for each in self.later],
        }


class Connect(Check[Connects]):
    """Makes connections one after the other, and sends a little on each.

    :param pauses: seconds before each further attempt, where no connection was answered.
    """

    name = "connect"
    begin = Connects

    def __init__(self, pauses: Sequence[float] = PAUSES) -> None:
        self._pauses = pauses

    def cost(self, context: Context) -> Cost:
        """Returns the cost: two round trips for each connection, over TLS four."""
        count = CONNECTIONS + len(self._pauses)
        return Cost(count * MESSAGE, count, CONNECTIONS * 0.2)

    async def run(self, context: Context, seen: Connects) -> None:
        """Makes the connections, up to ENOUGH time-outs; and more after pauses, if none is answered.

        A service that is full, or just starting, refuses in the same way as one that is no echo.
        """
        silent = 0
        while len(seen.records) < CONNECTIONS and silent < ENOUGH:
            record = await self._attempt(context, _BRIEFLY if silent else SILENCE)
            seen.records.append(record)
            reason = record.failure or record.endOrSilence
            silent += reason is not None and reason.kind.isTimeOut
        served = seen.servedFirst
        if served:
            # At the least the rate that was refused; and a pause, as the far end may count by the second.
            context.evidence.spacing = _SPACE / served
            await pause(context.reactor, 2 * _SPACE)
        for seconds in self._pauses:
            if any(each.isServed for each in (*seen.records, *seen.later)):
                break
            await pause(context.reactor, seconds)
            seen.later.append(await self._attempt(context, _BRIEFLY))

    async def _attempt(self, context: Context, timeout: float) -> ConnectionRecord:
        record = context.newRecord()
        with suppress(NetworkError):
            link = await context.connect(record=record)
            link.send(MESSAGE)
            try:
                await link.receiveRest(timeout)
            finally:
                await link.close()
        return record
