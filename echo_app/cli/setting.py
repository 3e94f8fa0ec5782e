"""A setting of the command line: its definition, its parser with errors, and its line in the help."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from twisted.python.usage import UsageError

# Columns before a setting's text: room for most options with the names of their values.
_INDENT = 28

# Columns of a setting's text in the narrowest terminal.
_NARROWEST_TEXT = 20


class Setting(NamedTuple):
    """The definition of one option, for the parser, the help, the completion and the documents.

    :param name: the option without its dashes; also its key in the parsed options.
    :param help: the effect of the setting, in whole sentences, without the contents of the other fields.
    :param short: the letter of the short form; None without one.
    :param value: the name of the value in the help; None is a flag, which takes no value.
    :param parser: returns the value of the text that the user typed; raises ValueError with the reason.
    :param fills: the parameter of ``EchoService``, or the field of ``Limits``, that takes the value, if its
        name is not the option's: ``--idle-timeout`` fills ``idleTimeout`` by its name.
    :param default: the value without the option. A setting that fills a parameter has that of the parameter,
        a repeatable one has an empty list.
    :param defaultText: the default in words, if its value is not clear.
    :param zero: the meaning of the value 0, in words; None if 0 has no special meaning.
    :param hangup: the effect of SIGHUP on the file that the value names, in a sentence; None if it has none.
    :param choices: words that a shell completes.
    :param isRepeatable: whether each use of the option adds a value to a list.
    :param isList: whether the parser returns several values, all of which a repeatable option adds.
    :param isSecret: whether errors show only the part of the text before its first colon.
    """

    name: str
    help: str
    short: str | None = None
    value: str | None = None
    parser: Callable[[str], Any] = str
    fills: str | None = None
    default: Any = None
    defaultText: str | None = None
    zero: str | None = None
    hangup: str | None = None
    choices: Sequence[str] = ()
    isRepeatable: bool = False
    isList: bool = False
    isSecret: bool = False

    def parse(self, text: str) -> Any:
        """Returns the value of a text.

        :raise UsageError: on a wrong text, in one line that names the option and the text.
        """
        try:
            return self.parser(text)
        except ValueError as error:
            shown = text.partition(":")[0] if self.isSecret else text
            raise UsageError(f"--{self.name} {shown!r}: {error}") from None

    @property
    def parameter(self) -> str:
        """Returns the name of the parameter that the setting fills, if there is such a parameter."""
        return self.fills or re.sub("-(.)", lambda found: found[1].upper(), self.name)

    def argument(self, value: Any) -> Any:
        """Returns the value for the parameter: a flag gives it the opposite of its default."""
        return value if self.value else bool(value) != self.default

    @property
    def option(self) -> str:
        """Returns the option with its dashes and the name of its value."""
        return f"--{self.name}" + (f" {self.value}" if self.value else "")

    @property
    def description(self) -> str:
        """Returns the help, the meaning of 0, the effect of SIGHUP, and whether the option is repeatable."""
        zero = f" 0: {self.zero}." if self.zero else ""
        hangup = f" {self.hangup}" if self.hangup else ""
        return self.help + zero + hangup + (" Repeatable." if self.isRepeatable else "")

    @property
    def shownDefault(self) -> str:
        """Returns the default in words; empty without a default."""
        if self.defaultText is not None:
            return self.defaultText
        if self.default is None:
            # A limit of None is typed as 0.
            return "0" if self.zero and not self.isRepeatable else ""
        return str(self.default) if self.value else ""


def helpText(groups: Mapping[str, Sequence[Setting]], width: int) -> str:
    """Returns the help of all settings, group by group.

    :param width: columns of the terminal.
    """
    lines = []
    for title, settings in groups.items():
        lines += ["", f"{title}:"]
        for each in settings:
            option = f"  -{each.short}, " if each.short else "      "
            default = f" [default: {each.shownDefault}]" if each.shownDefault else ""
            text = each.description + default
            texts = textwrap.wrap(text, max(width - _INDENT, _NARROWEST_TEXT), break_on_hyphens=False)
            first = f"{option + each.option:{_INDENT}}"
            # An option that leaves no gap before the text has a line of its own.
            lines += [first + texts.pop(0)] if first.endswith("  ") else [first.rstrip()]
            lines += [" " * _INDENT + line for line in texts]
    return "\n".join(lines) + "\n"
