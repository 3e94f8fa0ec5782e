"""Plugin of pytest: the fixture ``echo_server``, a real echo service for a test.

It is loaded wherever ``echo_app`` is installed, and so it imports nothing before a test asks for a service.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from echo_app.testing import EchoServer

MARKER = (
    "echo_server(*options, faults=(), responder=None, tls=False, env=None, reactor=None): "
    "what the test's echo_server is started with, as echo_app.testing.EchoServer takes it"
)


def pytest_configure(config: pytest.Config) -> None:
    """Tells of the marker."""
    config.addinivalue_line("markers", MARKER)


@pytest.fixture
def make_echo_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., EchoServer]]:
    """Starts echo services: a function that takes what echo_app.testing.EchoServer does."""
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
    """Returns a real echo service in a process of its own, as the marker ``echo_server`` has it."""
    from echo_app.testing import EchoProcessError

    marker = request.node.get_closest_marker("echo_server")
    options, more = ((), {}) if marker is None else (marker.args, marker.kwargs)
    try:
        return make_echo_server(*options, **more)
    except (EchoProcessError, TypeError, ValueError) as error:
        reason = str(error)
    # Outside, so that its one line is all.
    pytest.fail(reason, pytrace=False)
