"""An exact, event-driven echo service for network tests, on Twisted.

The public names are resolved when they are first asked for (PEP 562), so that importing the package
imports no reactor and costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from echo_app.access.networks import Access
    from echo_app.datagram import EchoDatagramProtocol
    from echo_app.datagramport import DatagramEndpoint
    from echo_app.faults.plan import FaultPlan
    from echo_app.faults.spec import BadSpec, Fault, parseFault
    from echo_app.interfaces import IEchoUser, IResponder
    from echo_app.limits import Keepalive, Limits
    from echo_app.options import Options
    from echo_app.protocol import EchoFactory, EchoProtocol
    from echo_app.proxy.gate import ProxyEndpoint, ProxyGateFactory
    from echo_app.responders.framing import BadRequest, Framing
    from echo_app.service import EchoService
    from echo_app.tap import makeService
    from echo_app.tls.endpoint import TLSEndpoint
    from echo_app.tls.server import ServerTLS

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
    "Options",
    "ProxyEndpoint",
    "ProxyGateFactory",
    "ServerTLS",
    "TLSEndpoint",
    "makeService",
    "parseFault",
]

_ROOMS = {
    "Access": "access.networks",
    "BadRequest": "responders.framing",
    "BadSpec": "faults.spec",
    "DatagramEndpoint": "datagramport",
    "EchoDatagramProtocol": "datagram",
    "EchoFactory": "protocol",
    "EchoProtocol": "protocol",
    "EchoService": "service",
    "Fault": "faults.spec",
    "FaultPlan": "faults.plan",
    "Framing": "responders.framing",
    "IEchoUser": "interfaces",
    "IResponder": "interfaces",
    "Keepalive": "limits",
    "Limits": "limits",
    "Options": "options",
    "ProxyEndpoint": "proxy.gate",
    "ProxyGateFactory": "proxy.gate",
    "ServerTLS": "tls.server",
    "TLSEndpoint": "tls.endpoint",
    "makeService": "tap",
    "parseFault": "faults.spec",
}


def __getattr__(name: str) -> object:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
