"""Twisted's own tests of its transports, as installed, with the direct path below every listening port.

``test_twisted.py`` runs them in a process of its own, since each of these tests makes a reactor::

    python -m twisted.trial tests.support.twisted_suite

All tests run that Twisted makes for its reactors in three modules, except those in :data:`EXEMPT`.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from twisted.internet.test import test_tcp, test_tls, test_unix
from twisted.trial.unittest import SynchronousTestCase

from echo_app.transport.direct import direct
from tests.support.ci import RUNS_ALL

REACTORS: tuple[str, ...] = (
    "twisted.internet.epollreactor.EPollReactor",
    "twisted.internet.pollreactor.PollReactor",
    "twisted.internet.selectreactor.SelectReactor",
    "twisted.internet.test.reactormixins.AsyncioSelectorReactor",
)
if not RUNS_ALL:
    # A run before a commit uses only Linux's default.
    REACTORS = REACTORS[:1]

# The tests that do not apply, and the reasons.
EXEMPT = {
    "test_logPrefix": "the declared difference: no prefix by connection in the legacy log context",
    "test_resumeProducing": "asks the reactor whether it reads from a descriptor that a poller reads from",
}

# Whole classes that do not apply. These ask the reactor, not the transport, to release a connection, and then
# close its socket. That works with most versions and reactors, but is not supported here. The last one has no
# connection, and binds a port that another process may have taken meanwhile.
EXEMPT_CLASSES = {
    "AdoptStreamConnectionTestsBuilder",
    "UNIXAdoptStreamConnectionTestsBuilder",
    "TestBindAddressBuilder",
}


class DirectReactorMixin:
    """Builds reactors whose listening ports take the direct path."""

    def buildReactor(self) -> Any:
        """Builds a reactor as the test would, with the direct path below all ports that it opens."""
        reactor = super().buildReactor()  # type: ignore[misc]
        for name in ("listenTCP", "listenUNIX", "adoptStreamPort"):
            setattr(reactor, name, self._directly(getattr(reactor, name)))
        return reactor

    def _directly(self, listen: Any) -> Any:
        def listenDirectly(*arguments: Any, **more: Any) -> Any:
            port = listen(*arguments, **more)  # listenSSL calls listenTCP
            assert direct(port), port
            return port

        return listenDirectly


def _exempt(base: type) -> dict[str, Any]:
    """Returns, for a test class, methods that skip the tests that do not apply."""

    def skipped(reason: str) -> Any:
        def test(self: object) -> None: ...

        test.skip = reason  # type: ignore[attr-defined]
        return test

    return {name: skipped(reason) for name, reason in EXEMPT.items() if hasattr(base, name)}


def _classes(module: ModuleType) -> dict[str, type]:
    """Returns the test classes of a module's builders, as Twisted makes them."""
    classes: dict[str, type] = {}
    for name, builder in vars(module).items():
        if f"{name}_EPollReactorTests" in vars(module) and name not in EXEMPT_CLASSES:
            more = {"__module__": __name__, "_reactors": REACTORS, **_exempt(builder)}
            made: Any = type(f"Direct{name}", (DirectReactorMixin, builder), more)
            classes.update(made.makeTestCaseClasses())
    return classes


for _module in (test_tcp, test_tls, test_unix):
    globals().update(_classes(_module))


class NothingIsMissingTests(SynchronousTestCase):
    def test_everyReactor(self) -> None:
        """Each reactor has the same number of test classes, and more than none."""
        ends = [f"_{reactor.rpartition('.')[2]}Tests" for reactor in REACTORS]
        numbers = {sum(name.endswith(end) for name in globals()) for end in ends}
        self.assertEqual(len(numbers), 1)
        self.assertGreater(numbers.pop(), 10)
