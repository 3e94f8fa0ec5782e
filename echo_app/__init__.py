"""An exact, event-driven echo service for network tests, on Twisted.

A public name is imported at its first use (PEP 562), so that importing the package imports no reactor and
costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from echo_app.access.networks import Access
    from echo_app.cli.options import Options
    from echo_app.cli.tap import makeService
    from echo_app.connections.limits import Limits
    from echo_app.faults.fault import BadSpec, Fault
    from echo_app.faults.plan import FaultPlan
    from echo_app.faults.spec import parseFault
    from echo_app.interfaces import IEchoUser, IResponder
    from echo_app.proxy.gate import ProxyHeaders
    from echo_app.responders.framing import BadRequest, Framing
    from echo_app.service.echoservice import EchoService
    from echo_app.service.listeners import Listener
    from echo_app.stack.stack import Stack
    from echo_app.stream.protocol import EchoFactory, EchoProtocol
    from echo_app.tls.server import ServerTLS
    from echo_app.transport.sockets import Keepalive
    from echo_app.udp.port import DatagramEndpoint
    from echo_app.udp.protocol import EchoDatagramProtocol

__all__ = [
    "Access",
    "BadRequest",
    "BadSpec",
    "DatagramEndpoint",
    "EchoDatagramProtocol",
    "EchoFactory",
    "EchoProtocol",
    "EchoService",
    "Fault",
    "FaultPlan",
    "Framing",
    "IEchoUser",
    "IResponder",
    "Keepalive",
    "Limits",
    "Listener",
    "Options",
    "ProxyHeaders",
    "ServerTLS",
    "Stack",
    "makeService",
    "parseFault",
]

_MODULES = {
    "Access": "access.networks",
    "BadRequest": "responders.framing",
    "BadSpec": "faults.fault",
    "DatagramEndpoint": "udp.port",
    "EchoDatagramProtocol": "udp.protocol",
    "EchoFactory": "stream.protocol",
    "EchoProtocol": "stream.protocol",
    "EchoService": "service.echoservice",
    "Fault": "faults.fault",
    "FaultPlan": "faults.plan",
    "Framing": "responders.framing",
    "IEchoUser": "interfaces",
    "IResponder": "interfaces",
    "Keepalive": "transport.sockets",
    "Limits": "connections.limits",
    "Listener": "service.listeners",
    "Options": "cli.options",
    "ProxyHeaders": "proxy.gate",
    "ServerTLS": "tls.server",
    "Stack": "stack.stack",
    "makeService": "cli.tap",
    "parseFault": "faults.spec",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
