"""Hints in errors: what a user may have meant by a wrong word or a wrong option."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from twisted.python.usage import Options

# The end of an error where no option is like the wrong one.
_HELP = "; --help lists all options"

# Characters of the longest text that an error corrects. A longer one is no slip, and the search takes time.
LONGEST_CORRECTED = 24


def nearest(wrong: str, known: Iterable[str], cutoff: float = 0.6) -> list[str]:
    """Returns the known words that a wrong one begins, or is like, the likeliest first.

    :param cutoff: from 0, unlike, to 1, the same.
    """
    if not 0 < len(wrong) <= LONGEST_CORRECTED:
        return []
    words = [*known]
    if begun := [each for each in words if each.startswith(wrong)]:
        return begun
    # A wrong word is rare, and a start takes a few milliseconds less without this module.
    from difflib import get_close_matches

    return get_close_matches(wrong, words, cutoff=cutoff)


def didYouMean(likely: Sequence[str]) -> str:
    """Returns the end of an error, such as ``; did you mean 50ms or 50s?``; empty without a likely text."""
    *others, last = likely or [""]
    return f"; did you mean {', '.join(others)}{' or ' if others else ''}{last}?" if likely else ""


def optionHint(error: str, typed: Iterable[str], command: Options) -> str:
    """Returns the end of an error of getopt; empty where the error tells enough.

    :param error: the text of the error.
    :param typed: the arguments.
    :param command: the options of the command, whose parent has those that stand before its name.
    """
    names = [each.rstrip("=") for each in command.longOpt]
    # getopt takes -port for the short option -p with the value "ort".
    for each in typed:
        if each.startswith("-") and (name := each[1:].partition("=")[0]) in names and len(name) > 1:
            return didYouMean([f"--{name}"])
    if found := re.fullmatch("option (-.*) not recognized", error):
        option = found[1]
        if command.parent is not None and option.lstrip("-") in _namesOf(command.parent):
            return f"; it belongs before {command.parent.subCommand}, not behind it"
        near = nearest(option.lstrip("-"), names) if option.startswith("--") else []
        return didYouMean([f"--{each}" for each in near]) or _HELP
    return _HELP if "requires argument" in error else ""


def _namesOf(command: Options) -> list[str]:
    return [*command.shortOpt.replace(":", ""), *(each.rstrip("=") for each in command.longOpt)]
