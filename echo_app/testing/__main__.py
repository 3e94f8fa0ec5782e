"""Command that runs ``twistd`` and ends with the process that started it."""

from __future__ import annotations

import os
import threading


def main() -> None:
    """Runs ``twistd`` with the arguments of this process, until the end of standard input."""

    def watch() -> None:
        while os.read(0, 4096):
            pass
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    from twisted.scripts.twistd import run

    run()


if __name__ == "__main__":
    main()
