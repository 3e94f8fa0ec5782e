"""The pid file of ``twistd``, which ends many a start in the foreground, where no program reads it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

# What a user can do about it.
_WAY_OUT = "twistd -n --pidfile= needs no such file"


def pidFileProblem(command: Mapping[str, Any]) -> str | None:
    """Returns the reason for which a pid file stops ``twistd -n``, in one line; None without one.

    ``twistd`` would say so in several lines, or with a traceback. It removes a file that names no process.

    :param command: the options of ``twistd``, or those of ``twist``, which has no such file.
    """
    path = command.get("pidfile")
    if not path or command.get("chroot"):
        return None
    path = os.path.abspath(path)
    try:
        with open(path) as file:
            pid = int(file.read())
    except FileNotFoundError:
        isWritable = os.access(os.path.dirname(path), os.W_OK)
        return None if isWritable else f"pid file {path!r}: its directory can't be written to; {_WAY_OUT}"
    except OSError as error:
        return f"pid file {path!r}: {error.strerror}; {_WAY_OUT}"
    except ValueError:
        return f"pid file {path!r}: no number in it; remove it, or {_WAY_OUT}"
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None if os.access(path, os.W_OK) else f"pid file {path!r}: it can't be written; {_WAY_OUT}"
    except (OSError, OverflowError):
        pass
    if pid == os.getpid():
        return f"pid file {path!r}: left behind by a process with the same id; remove it, or {_WAY_OUT}"
    return f"pid file {path!r}: it names process {pid}, which runs; {_WAY_OUT}"
