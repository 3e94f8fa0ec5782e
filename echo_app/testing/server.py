"""A real echo service for one test, with faults that may change and records of its connections."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from echo_app.service.snapshot import OpenConnection, Snapshot
from echo_app.testing.controlconnection import ControlError, now
from echo_app.testing.process import TIMEOUT, EchoProcess, EchoProcessError
from echo_app.testing.records import Record, recordsOf

# Seconds between two looks at the access log.
_LOOK = 0.005

# Seconds after which a service that does not end is killed: an end takes 0.1 s on a quiet machine.
END_TIMEOUT = 20.0

# Seconds between two requests for an end.
END_INTERVAL = 1.0


class EchoServer(EchoProcess):
    """An :class:`EchoProcess` with faults that may change, and with records of its connections.

    :param options: as for :class:`EchoProcess`.
    :param faults: the faults from the start: specs, as for ``--fault``.
    :param responder: answers in place of the echo: a name, as for ``--responder``, or a function of a module
        that the test can import.
    :param forward: each stream goes on to this service, which answers in place of the echo: a target, as for
        ``--forward``, or host and port.
    :param tls: listen for TLS too, on 127.0.0.1, with a throw-away certificate.
    :param reactor: as for :class:`EchoProcess`, and so are `env` and `within`.
    """

    def __init__(
        self,
        *options: str,
        faults: Iterable[str] = (),
        responder: str | Callable[..., Any] | None = None,
        forward: str | tuple[str, int] | None = None,
        tls: bool = False,
        reactor: str | None = None,
        env: dict[str, str] | None = None,
        within: str | os.PathLike[str] | None = None,
    ) -> None:
        # Options may be numbers.
        options = tuple(map(str, options))
        if any(option.startswith("--access-log") for option in options):
            raise ValueError("--access-log: the records are in a file of its own")
        if isinstance(faults, str):
            faults = (faults,)
        more = [part for spec in faults for part in ("--fault", spec)]
        if tls:
            more += ["--tls", "0"]
        if responder is not None:
            more += ["--responder", responder if isinstance(responder, str) else nameOf(responder)]
        if forward is not None:
            more += ["--forward", targetOf(forward)]
        super().__init__(
            *options, *more, "--access-log", "access.log", reactor=reactor, env=env, within=within
        )
        self._settings |= {"faults": True, "ca": "ca.pem" if tls else None}
        self._hasTLS = tls
        self._records: list[Record] = []

    @property
    def host(self) -> str:
        """Returns the host of the first listener."""
        return self.address()[0]

    @property
    def port(self) -> int:
        """Returns the port of the first listener."""
        return self.address()[1]

    @property
    def ca(self) -> Path:
        """Returns the path of the authority, in PEM form, of the certificate for localhost and 127.0.0.1.

        :raise EchoProcessError: without ``tls=True``.
        """
        __tracebackhide__ = True
        if not self._hasTLS:
            raise EchoProcessError("there is no certificate without tls=True")
        return self.folder / "ca.pem"

    def setFaults(
        self,
        *specs: str,
        live: bool = False,
        number: int | None = None,
        peer: str | None = None,
        listener: str | None = None,
    ) -> None:
        """Replaces all faults, those from the start too; they are in effect when this returns.

        Open connections keep their faults, unless `live`. ``connections=1`` is the next connection.

        :param live: open connections have the new faults, too, from the bytes on that pass next.
        :param number: with `live`, only the open connection with this number has the new faults, and no later
            one; :meth:`connections` has the numbers.
        :param peer: as `number`, those with this peer, such as ``127.0.0.1:40000``.
        :param listener: as `number`, those of this listener.
        :raise ValueError: when a spec is wrong, there is no listener that it applies to, or no such open
            connection; nothing changes.
        :raise EchoProcessError: when the service does not run.
        """
        __tracebackhide__ = True
        picked = {"number": number, "peer": peer, "listener": listener}
        self._ask("setFaults", faults=specs, live=live, **picked)

    def clearFaults(self) -> None:
        """Ends all faults, for later connections.

        :raise EchoProcessError: when the service does not run.
        """
        self.setFaults()

    def snapshot(self) -> Snapshot:
        """Returns the service's counts at this moment.

        :raise EchoProcessError: when the service does not run.
        """
        __tracebackhide__ = True
        return Snapshot(**self._ask("snapshot"))

    def connections(self) -> list[OpenConnection]:
        """Returns the open connections, the oldest first.

        :raise EchoProcessError: when the service does not run.
        """
        __tracebackhide__ = True
        return [OpenConnection(**each) for each in self._ask("connections")]

    def reset(self, number: int) -> None:
        """Resets an open connection, by the number that :meth:`connections` says.

        :raise ValueError: when no open connection has this number.
        :raise EchoProcessError: when the service does not run.
        """
        __tracebackhide__ = True
        self._ask("reset", number=number)

    def _ask(self, request: str, **arguments: Any) -> Any:
        """Returns the result of a request of ``echo_app.service.control``."""
        __tracebackhide__ = True
        if self._control is None or self._process is None:
            raise EchoProcessError("not running")
        try:
            answer = self._control.ask({"do": request, **arguments}, TIMEOUT)
        except ControlError as error:
            raise EchoProcessError(f"{error}:\n{self.log()}") from None
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer["result"]

    def records(self) -> list[Record]:
        """Returns a record for each connection that has ended, in the order of their ends."""
        if self._process is not None:
            # Before the service listens there may be no file.
            with suppress(FileNotFoundError):
                self._records = recordsOf((self.folder / "access.log").read_bytes())
        return list(self._records)

    def waitForRecords(self, count: int, timeout: float = 20.0) -> list[Record]:
        """Returns the :meth:`records` as soon as that many connections have ended.

        :param timeout: seconds.
        :raise TimeoutError: when fewer have ended by then, or by the end of the service.
        """
        __tracebackhide__ = True
        deadline = now() + timeout
        while True:
            # Before the records: a service writes its last ones just before its end.
            hasEnded = self._process is None or self._process.poll() is not None
            if len(found := self.records()) >= count:
                return found
            if hasEnded or now() > deadline:
                when = "until the service did" if hasEnded else f"within {timeout:g} s"
                raise TimeoutError(f"{len(found)} of {count} connections have ended {when}")
            time.sleep(_LOOK)

    def end(self) -> None:
        """Stops the service without a drain: open connections are reset.

        :raise EchoProcessError: when the service still runs after 20 seconds; it is killed then.
        """
        if self._process is None or not self._isOwn():
            return
        deadline = now() + END_TIMEOUT
        try:
            while self._process.poll() is None:
                if now() > deadline:
                    raise EchoProcessError(f"still running after {END_TIMEOUT:g} s:\n{self.log()}")
                # The second signal ends the drain. It is of another kind: the kernel may merge equal signals.
                self._process.send_signal(signal.SIGTERM)
                self._process.send_signal(signal.SIGINT)
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(END_INTERVAL)
        finally:
            self.kill()

    def _remove(self) -> None:
        self.records()
        super()._remove()


def faultyPath(host: str, port: int, *options: str, **more: Any) -> EchoServer:
    """Makes a path to a service of somebody else's, for ``with faultyPath(...) as path:``.

    Clients connect to the path. Each stream goes on to the service, and the answers come back, with the
    faults that the test sets.

    :param host: the name or the IP address of the service.
    :param port: the TCP port of the service.
    :param options: and `more`, as for :class:`EchoServer`.
    """
    return EchoServer(*options, forward=(host, port), **more)


def targetOf(service: str | tuple[str, int]) -> str:
    """Returns the target of a service, which is given as a target or as host and port."""
    if isinstance(service, str):
        return service
    host, port = service
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def nameOf(responder: Callable[..., Any]) -> str:
    """Returns a function's name for ``--responder``.

    :raise ValueError: when the function is not in a module.
    """
    name = getattr(responder, "__qualname__", "<no name>")
    module = getattr(responder, "__module__", "__main__")
    if "<" in name or module == "__main__":
        raise ValueError(f"{responder!r} is not a function of a module that a service can import")
    return f"{module}:{name}"
