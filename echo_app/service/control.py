"""Control: observes and changes a running service.

Every part that steers a service from outside uses this one interface; today, the fixture's control connection
does. Requests and results are values of JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from echo_app.addresses import describe
from echo_app.connections.record import Ending
from echo_app.faults.fault import BadSpec
from echo_app.faults.layer import faultsOf
from echo_app.faults.spec import parseFault
from echo_app.service.snapshot import OpenConnection
from echo_app.transport.sockets import progressOf, reset

if TYPE_CHECKING:
    from echo_app.connections.connection import Connection
    from echo_app.service.echoservice import EchoService


class Control:
    """Observes and changes a running service.

    :param service: the running service.
    """

    def __init__(self, service: EchoService) -> None:
        self._service = service

    def handle(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Carries out a request: ``{"do": "reset", "number": 7}`` calls :meth:`reset` with 7.

        :return: ``{"result": ...}``; or ``{"error": reason}`` for a wrong request, which changes nothing.
        """
        arguments = dict(request)
        name = arguments.pop("do", None)
        if name not in REQUESTS:
            return {"error": f"{name!r} is no request: they are {', '.join(REQUESTS)}"}
        try:
            return {"result": getattr(self, name)(**arguments)}
        except (TypeError, ValueError) as error:
            return {"error": str(error)}

    def snapshot(self) -> dict[str, Any]:
        """Returns the fields of :class:`~echo_app.service.snapshot.Snapshot`."""
        return asdict(self._service.snapshot())

    def connections(self) -> list[dict[str, Any]]:
        """Returns the fields of an :class:`OpenConnection` for each open connection, the oldest first."""
        return [asdict(_openConnection(each)) for each in self._service.connections()]

    def setFaults(self, faults: Sequence[str], live: bool = False, **picked: Any) -> None:
        """Replaces all faults, for new connections; see ``EchoService.setFaults``.

        :param faults: specs, such as ``latency=50ms``.
        :param live: also for open connections.
        :param picked: with `live`, the ``number``, ``peer`` or ``listener`` of those that alone have them.
        :raise ValueError: when a spec is wrong or applies to no listener, there are too many, or no open
            connection is chosen.
        """
        parsed = []
        for spec in faults:
            try:
                parsed.append(parseFault(spec))
            except BadSpec as error:
                raise ValueError(f"fault {spec!r}: {error}") from None
        self._service.setFaults(parsed, live=live, **picked)

    def reset(self, number: int) -> None:
        """Resets an open connection.

        :raise ValueError: when no open connection has this number.
        """
        for each in self._service.connections():
            if each.number == number:
                each.end(Ending.CONTROL)
                reset(each.transport)
                return
        raise ValueError(f"connection {number!r} is not open")

    def reload(self) -> None:
        """Reads the service's files again; see ``EchoService.reload``."""
        self._service.reload()

    def drain(self) -> None:
        """Stops the service, which accepts no connection any more, and drains those that are open."""
        self._service.stopService()


# The names of the requests.
REQUESTS = ("snapshot", "connections", "setFaults", "reset", "reload", "drain")


def _openConnection(connection: Connection) -> OpenConnection:
    transport = connection.transport
    _, top = connection.top()
    progress = progressOf(top)
    return OpenConnection(
        number=connection.number or None,
        listener=describe(transport.getHost()),
        peer=describe(transport.getPeer()),
        user=connection.user,
        isServed=connection.isServed,
        faults=list(map(str, faultsOf(top))),
        received=None if progress is None else progress.received,
        sent=None if progress is None else progress.sent,
        owed=None if progress is None else progress.owed,
        held=None if progress is None else progress.held,
    )
