"""Network namespaces with a TUN device each, for one process; nothing of them outlives it.

The namespaces have no names. A command enters one by a descriptor of this process.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
import subprocess
from pathlib import Path
from typing import Self

# Linux, include/uapi/linux/sched.h and if_tun.h.
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000

# Packets of a device's queue: a pause of the relay is no loss.
_QUEUE = 10_000

_NET = "/proc/thread-self/ns/net"

_libc = ctypes.CDLL(None, use_errno=True)


def unshare(flags: int) -> None:
    """Moves this thread into a new namespace."""
    if _libc.unshare(flags):
        raise OSError(ctypes.get_errno(), "unshare: " + os.strerror(ctypes.get_errno()))


def enter(descriptor: int) -> None:
    """Moves this thread into the network namespace of a descriptor."""
    if _libc.setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns: " + os.strerror(ctypes.get_errno()))


def becomeRoot() -> tuple[str, ...]:
    """Gets the right to make namespaces; returns the options with which nsenter gets it, too.

    :raise OSError: where users may not make namespaces of their own.
    """
    if os.geteuid() == 0:
        return ()
    user, group = os.geteuid(), os.getegid()
    # A network namespace to come home to: the one of before is not of this user.
    unshare(_CLONE_NEWUSER | _CLONE_NEWNET)
    for name, line in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
        Path("/proc/self", name).write_text(line)
    return (f"--user=/proc/{os.getpid()}/ns/user", "--preserve-credentials")


class Namespace:
    """A network namespace with a TUN device. In its block, this thread is in it.

    :param address: the address of the device.
    :param peer: the address at its other end.
    :param mtu: bytes of the largest packet.
    :ivar device: the descriptor that reads and writes the packets of the device, which does not block.
    :ivar net: the descriptor of the namespace.
    """

    def __init__(self, address: str, peer: str, mtu: int) -> None:
        self._home = os.open(_NET, os.O_RDONLY | os.O_CLOEXEC)
        unshare(_CLONE_NEWNET)
        try:
            self.net = os.open(_NET, os.O_RDONLY | os.O_CLOEXEC)
            self.device = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
            asked = struct.pack("16sH22x", b"zoo", _IFF_TUN | _IFF_NO_PI)
            fcntl.ioctl(self.device, _TUNSETIFF, asked)
            for command in (
                f"addr add {address} peer {peer} dev zoo",
                f"link set zoo mtu {mtu} txqueuelen {_QUEUE} up",
                "link set lo up",
            ):
                subprocess.run(["ip", *command.split()], check=True, capture_output=True)
            # No search for a black hole: the fault must be seen.
            Path("/proc/sys/net/ipv4/tcp_mtu_probing").write_text("0")
            # CUBIC ends its slow start early, before it fills a long queue.
            Path("/proc/sys/net/ipv4/tcp_congestion_control").write_text("reno")
        finally:
            enter(self._home)

    def __enter__(self) -> Self:
        enter(self.net)
        return self

    def __exit__(self, *error: object) -> None:
        enter(self._home)

    def within(self) -> tuple[str, ...]:
        """Returns the start of a command line that runs a command in the namespace."""
        return ("nsenter", f"--net=/proc/{os.getpid()}/fd/{self.net}")

    def close(self) -> None:
        """Gives the descriptors back; the kernel removes the namespace with its last process."""
        for descriptor in (self.device, self.net, self._home):
            os.close(descriptor)
