"""Rehearsal of the steps that ``twistd`` takes after the service listens, in a child process.

``twistd`` opens its log, changes the root and the folder, opens ``/dev/null`` for a daemon, writes its pid
file, and sheds its privileges after the listeners are open. A mistake there ends in a traceback, in silence,
or in a command that never ends: a daemon that can't shed its privileges does not tell its command.
"""

from __future__ import annotations

import errno
import os
import pwd
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from twisted.python.util import switchUID

# Twisted's log file of a daemon without --logfile.
_DAEMON_LOG = "twistd.log"


def startProblem(command: Mapping[str, Any], isDaemon: bool) -> str | None:
    """Returns the reason for which a later step of ``twistd`` will fail, in one line; None without one.

    :param command: the options of ``twistd``, or those of ``twist``, which has no such steps.
    :param isDaemon: whether ``twistd`` will fork.
    """
    if "rundir" not in command:
        return None
    if problem := _logProblem(command, isDaemon):
        return problem
    isChanged = command["rundir"] != "." or any(
        command[each] is not None for each in ("chroot", "uid", "gid")
    )
    # Any other start in the foreground is spared the child process.
    return _rehearsed(_steps(command, isDaemon)) if isDaemon or isChanged else None


def _logProblem(command: Mapping[str, Any], isDaemon: bool) -> str | None:
    if command["syslog"] or command["logger"]:
        return None
    path = command["logfile"] or (_DAEMON_LOG if isDaemon else "-")
    if path == "-":
        return "--logfile '-': a daemon has no standard output; twistd -n has" if isDaemon else None
    reason = _whyUnwritable(os.path.abspath(path))
    return f"--logfile {path!r}: {reason}" if reason else None


def _whyUnwritable(path: str) -> str | None:
    """Returns the reason for which a file can't be written; None without one."""
    folder = os.path.dirname(path)
    if os.path.isdir(path):
        return os.strerror(errno.EISDIR)
    if not os.path.isdir(folder):
        return os.strerror(errno.ENOENT)
    if os.path.exists(path):
        return None if os.access(path, os.W_OK) else os.strerror(errno.EACCES)
    return None if os.access(folder, os.W_OK) else "its directory can't be written to"


def _rehearsed(steps: Iterator[tuple[str, Callable[[], object], str]]) -> str | None:
    """Takes steps in a child process; returns the name of the one that fails, the reason, and a hint."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            warnings.simplefilter("ignore")
            os.write(writer, os.fsencode(_firstFailure(steps)))
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        problem = pipe.read()
    os.waitpid(child, 0)
    return os.fsdecode(problem) or None


def _firstFailure(steps: Iterator[tuple[str, Callable[[], object], str]]) -> str:
    for name, step, hint in steps:
        try:
            step()
        except (OSError, KeyError) as error:
            reason = error.strerror if isinstance(error, OSError) else error.args[0]
            return f"{name}: {reason}{hint}"
    return ""


def _steps(command: Mapping[str, Any], isDaemon: bool) -> Iterator[tuple[str, Callable[[], object], str]]:
    """Yields the name of each step, the step, and a hint for its failure, in Twisted's order."""
    root, folder = command["chroot"], command["rundir"]
    uid, gid = command["uid"], command["gid"]
    pidFile = command["pidfile"] and os.path.abspath(command["pidfile"])
    where = "" if root is None else f" in --chroot {root!r}"
    if root is not None:
        yield f"--chroot {root!r}", lambda: os.chroot(root), ""
        folder = "/" if folder == "." else folder
    yield f"--rundir {folder!r}{where}", lambda: os.chdir(folder), ""
    if isDaemon:
        yield (
            f"{os.devnull}{where}",
            lambda: open(os.devnull, "r+b").close(),
            "; a daemon needs it, twistd -n does not",
        )
    if pidFile:
        yield f"pid file {pidFile!r}{where}", lambda: _checkWritable(pidFile), "; --pidfile names another one"
    if uid is not None or gid is not None:
        names = " ".join(
            f"--{name} {value}" for name, value in (("uid", uid), ("gid", gid)) if value is not None
        )

        def shed() -> None:
            switchUID(uid, pwd.getpwuid(uid).pw_gid if gid is None else gid, command["euid"])

        yield names + where, shed, ""


def _checkWritable(path: str) -> None:
    if reason := _whyUnwritable(path):
        raise OSError(errno.EACCES, reason)
