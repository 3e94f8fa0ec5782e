"""Runs the probe: ``python -m echo_app.probe``, and the script ``echo-probe``."""

from __future__ import annotations

import signal


def main() -> None:
    """Runs a command, and exits."""
    # The imports take half a second, in which Ctrl-C would print a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from echo_app.probe.cli.command import main as run

    signal.signal(signal.SIGINT, signal.default_int_handler)
    run()


if __name__ == "__main__":
    main()
