"""Scripts of endless loads, for processes of their own. Each prints ``ready`` when it has begun."""

from __future__ import annotations

# The largest UDP payload over IPv4 (RFC 768).
LARGEST = 65_507

# PORT SIZE CONNECTIONS: each connection sends its next request as soon as the last answer is complete.
MANY = """
import selectors, socket, sys
port, size, connections = map(int, sys.argv[1:])
data = bytes(size)
left = {}
selector = selectors.DefaultSelector()
for _ in range(connections):
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.settimeout(60)
    selector.register(sock, selectors.EVENT_READ)
    left[sock] = size
    sock.sendall(data)
print("ready", flush=True)
while True:
    for key, _ in selector.select():
        sock = key.fileobj
        left[sock] -= len(sock.recv(left[sock]))
        if not left[sock]:
            left[sock] = size
            sock.sendall(data)
"""

# "tcp" HOST PORT or "unix" PATH 0: sends and reads as fast as the service answers.
FLOOD = """
import socket, sys, threading
kind, host, port = sys.argv[1:]
sock = socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET)
sock.connect(host if kind == "unix" else (host, int(port)))
data = bytes(1 << 18)
def send():
    while True:
        sock.sendall(data)
threading.Thread(target=send, daemon=True).start()
buffer = bytearray(1 << 18)
for _ in range(16):
    sock.recv_into(buffer)
print("ready", flush=True)
while sock.recv_into(buffer):
    pass
"""

# HOST PORT SIZE: sends datagrams as fast as the kernel takes them.
DATAGRAMS = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.connect((sys.argv[1], int(sys.argv[2])))
data = bytes(int(sys.argv[3]))
print("ready", flush=True)
while True:
    try:
        sock.send(data)
    except OSError:
        pass
"""
