"""Plugin of pytest: the fixtures ``echo_server``, a real echo service for a test, and ``faulty_path``.

pytest loads the plugin wherever ``echo_app`` is installed. So the plugin imports nothing before a test asks
for a service.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from echo_app.testing import EchoServer

MARKER = (
    "echo_server(*options, faults=(), responder=None, forward=None, tls=False, env=None, reactor=None): "
    "arguments of echo_app.testing.EchoServer for the test's echo_server"
)


def pytest_configure(config: pytest.Config) -> None:
    """Registers the marker ``echo_server``."""
    config.addinivalue_line("markers", MARKER)


@pytest.fixture
def make_echo_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., EchoServer]]:
    """Returns a function that starts an echo service, with the arguments of echo_app.testing.EchoServer."""
    from echo_app.testing import EchoServer

    within = tmp_path_factory.getbasetemp()
    with ExitStack() as ends:

        def make(*options: str, **more: Any) -> EchoServer:
            __tracebackhide__ = True
            server = EchoServer(*options, **{"within": within, **more})
            ends.callback(server.end)
            return server.start()

        yield make


@pytest.fixture
def echo_server(request: pytest.FixtureRequest, make_echo_server: Callable[..., EchoServer]) -> EchoServer:
    """Returns a real echo service in its own process, with the arguments of the marker ``echo_server``."""
    from echo_app.testing import EchoProcessError

    marker = request.node.get_closest_marker("echo_server")
    options, more = ((), {}) if marker is None else (marker.args, marker.kwargs)
    try:
        return make_echo_server(*options, **more)
    except (EchoProcessError, TypeError, ValueError) as error:
        reason = str(error)
    # Outside the except clause, so that pytest prints only this line.
    pytest.fail(reason, pytrace=False)


@pytest.fixture
def faulty_path(make_echo_server: Callable[..., EchoServer]) -> Callable[..., EchoServer]:
    """Returns a function that starts a path to a host and port, with the arguments of faultyPath."""

    def make(host: str, port: int, *options: str, **more: Any) -> EchoServer:
        __tracebackhide__ = True
        return make_echo_server(*options, forward=(host, port), **more)

    return make
