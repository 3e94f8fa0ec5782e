"""Fields of TCP_INFO: where each of the kernel's counts of a TCP connection stands in its answer.

The service and the probe each ask for the few that they need. It only reads: no byte moves here.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import Any

# struct tcp_info of linux/tcp.h, without "tcpi_": offset and format of each field in use. Linux has them all
# since 4.9; bytes_acked and bytes_received (RFC 4898) since 4.1.
_FIELDS = {
    "state": (0, "B"),
    "retransmits": (2, "B"),
    "backoff": (4, "B"),
    "options": (5, "B"),
    "snd_mss": (16, "I"),
    "unacked": (24, "I"),
    "lost": (32, "I"),
    "last_data_sent": (44, "I"),
    "last_data_recv": (52, "I"),
    "last_ack_recv": (56, "I"),
    "rtt": (68, "I"),
    "rttvar": (72, "I"),
    "total_retrans": (100, "I"),
    "bytes_acked": (120, "Q"),
    "bytes_received": (128, "Q"),
    "segs_out": (136, "I"),
    "segs_in": (140, "I"),
    "notsent_bytes": (144, "I"),
    "min_rtt": (148, "I"),
    "data_segs_in": (152, "I"),
    "data_segs_out": (156, "I"),
    "delivery_rate": (160, "Q"),
    "bytes_sent": (200, "Q"),
    "bytes_retrans": (208, "Q"),
    "dsack_dups": (216, "I"),
    "reord_seen": (220, "I"),
    "rcv_ooopack": (224, "I"),
}


def tcpInfoReader(*names: str) -> Callable[[socket.socket], tuple[Any, ...]]:
    """Returns a function that asks the kernel for these fields of a TCP socket.

    :param names: as in the kernel's structure, and in its order.
    """
    layout = "="
    for name in names:
        offset, kind = _FIELDS[name]
        layout += f"{offset - struct.calcsize(layout)}x{kind}"
    fields = struct.Struct(layout)
    size, unpack = fields.size, fields.unpack

    def read(sock: socket.socket) -> tuple[Any, ...]:
        return unpack(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, size))

    return read
