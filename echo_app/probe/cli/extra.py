"""The extra ``probe``: libraries that only a load needs."""

from __future__ import annotations

from importlib.util import find_spec

from twisted.python.usage import UsageError

# Names of the modules, and of the distributions that have them.
_LIBRARIES = {"hdrh": "hdrhistogram", "rich": "rich"}


def checkExtra() -> None:
    """Checks that the extra ``probe`` is installed.

    :raise UsageError: names the missing libraries, and the command that installs them.
    """
    missing = [name for module, name in _LIBRARIES.items() if find_spec(module) is None]
    if missing:
        raise UsageError(f"not installed: {', '.join(missing)}; pip install 'echo_app[probe]' installs it")
