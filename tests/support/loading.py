"""Support for functional tests of a load: a load generator in the test's own process."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from time import monotonic
from typing import Any

from echo_app.probe.load.dial import Address
from echo_app.probe.load.generator import LoadGenerator
from echo_app.probe.load.loop import Loop
from echo_app.probe.results.results import LoadSettings
from echo_app.targets import ClientTLS, parseTarget
from tests.support.service import PATIENCE

Said = list[dict[str, Any]]

# Returns whether the load has run long enough.
Until = Callable[[int, Mapping[str, int]], bool]


def answeredAtLeast(count: int) -> Until:
    """Returns a function that ends a load when so many messages are answered."""
    return lambda answered, errors: answered >= count


def failedAtLeast(count: int) -> Until:
    """Returns a function that ends a load when there are so many errors."""
    return lambda answered, errors: sum(errors.values()) >= count


def load(target: str, until: Until, tls: ClientTLS = ClientTLS(), **fields: Any) -> Said:
    """Loads a target until `until` is true; returns the worker's lines.

    :param until: called with the number of answers so far, and the errors by kind.
    """
    said: Said = []
    loop = Loop()

    def say(data: dict[str, Any]) -> None:
        said.append(data)
        if "ready" in data:
            generator.begin(monotonic())
            loop.at(monotonic(), look)

    def look(moment: float) -> float | None:
        open_ = generator.ledger.seconds.values()
        answered = total(said, "answered") + sum(second.answered for second in open_)
        if until(answered, sum((Counter(second.errorTexts()) for second in open_), Counter(errors(said)))):
            generator.stop()
            return None
        return monotonic() + 0.01

    wanted = {"sizes": ((100, 1.0),), "warmup": 0.0, "duration": PATIENCE, "wait": PATIENCE, **fields}
    generator = LoadGenerator(loop, Address(parseTarget(target, tls)), LoadSettings(**wanted), 1, 0, say)
    generator.connect()
    loop.run()
    loop.close()
    return said


def total(said: Said, name: str) -> int:
    """Returns the sum over the seconds."""
    return sum(each[name] for each in said if "second" in each)


def errors(said: Said) -> dict[str, int]:
    """Returns the errors of all seconds, by kind."""
    found: dict[str, int] = {}
    for each in said:
        for kind, count in each.get("errors", {}).items():
            found[kind] = found.get(kind, 0) + count
    return found


def differences(said: Said) -> list[str]:
    """Returns the lines about differences."""
    return [line for each in said for line in each.get("differences", ())]


class Peer:
    """Accepts connections on 127.0.0.1, and serves each on a thread.

    :param serve: called with the connected socket, which is closed afterwards.
    """

    def __init__(self, serve: Callable[[socket.socket], object]) -> None:
        self._serve = serve
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()
        self.target = f"127.0.0.1:{self._listening.getsockname()[1]}"

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._listening.accept()
                thread = threading.Thread(target=self._run, args=(sock,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _run(self, sock: socket.socket) -> None:
        # The load sees the error.
        with sock, suppress(OSError):
            self._serve(sock)

    def stop(self) -> None:
        """Stops listening. Open connections end with their peers."""
        # close() alone does not wake up accept().
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join(PATIENCE)
