"""Tests of a real service: in a process of its own, over real sockets, with other people's clients."""

import signal

# A shell without job control ignores SIGINT for background programs (POSIX, XCU 2.9.3.1), and so would
# every process that a test starts and interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
