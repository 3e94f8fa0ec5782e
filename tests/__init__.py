"""The tests of echo_app: units here, real sockets and processes in ``functional``."""
