"""Runs the service: ``python -m echo_app [options]`` is ``twistd -n --pidfile= echo [options]``."""

from __future__ import annotations

import sys

from echo_app.cli.early import MODULE_COMMAND, prepare


def main() -> None:
    """Runs ``twistd`` in the foreground, without a pid file."""
    # The import of Twisted takes a quarter of a second, in which a signal would print a traceback.
    prepare()
    sys.argv[:1] = [MODULE_COMMAND, "-n", "--pidfile=", "echo"]
    from twisted.scripts.twistd import run

    run()


if __name__ == "__main__":
    main()
