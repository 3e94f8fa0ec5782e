"""A setting of the command line: its definition, its parser with errors, and its line in the help."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from twisted.python.usage import UsageError

# Columns before a setting's text: room for most options with the names of their values.
_INDENT = 28

# Columns of a setting's text in the narrowest terminal.
_NARROWEST_TEXT = 20


class Setting(NamedTuple):
    """Defines one option: everything that the parser, the help, the completion and the documents say of it.

    :param name: the option, without its dashes; also its key in the parsed options.
    :param help: the effect of the setting, in whole sentences, without its default and what follows from
        the other fields.
    :param short: the letter of its short form; None is none.
    :param value: the name of its value in the help; None is a flag, which takes no value.
    :param parser: takes the text that was typed and returns the value; raises ValueError with the reason.
    :param default: the value when the option is not given. A repeatable one has a list, empty at first.
    :param defaultText: the default in words, where its value does not say it.
    :param zero: what the value 0 means, in words; None where 0 has no meaning of its own.
    :param choices: words that a shell completes.
    :param isRepeatable: whether each use of the option adds a value to a list.
    :param isSecret: whether errors show only the part of the text before its first colon.
    """

    name: str
    help: str
    short: str | None = None
    value: str | None = None
    parser: Callable[[str], Any] = str
    default: Any = None
    defaultText: str | None = None
    zero: str | None = None
    choices: Sequence[str] = ()
    isRepeatable: bool = False
    isSecret: bool = False

    def parse(self, text: str) -> Any:
        """Returns the value that a text means.

        :raise UsageError: in one line that names the option and the text.
        """
        try:
            return self.parser(text)
        except ValueError as error:
            shown = text.partition(":")[0] if self.isSecret else text
            raise UsageError(f"--{self.name} {shown!r}: {error}") from None

    @property
    def option(self) -> str:
        """Returns the option as it is typed, with the name of its value."""
        return f"--{self.name}" + (f" {self.value}" if self.value else "")

    @property
    def description(self) -> str:
        """Returns the help, with what 0 means and whether the option is repeatable."""
        zero = f" 0: {self.zero}." if self.zero else ""
        return self.help + zero + (" Repeatable." if self.isRepeatable else "")

    @property
    def shownDefault(self) -> str:
        """Returns the default in words, and an empty text where there is none."""
        if self.defaultText is not None:
            return self.defaultText
        if self.default is None:
            # A limit that is not set is typed as 0.
            return "0" if self.zero and not self.isRepeatable else ""
        return str(self.default)


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
            # An option that leaves no gap has a line of its own.
            lines += [first + texts.pop(0)] if first.endswith("  ") else [first.rstrip()]
            lines += [" " * _INDENT + line for line in texts]
    return "\n".join(lines) + "\n"
