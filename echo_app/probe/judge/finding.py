"""Rules and findings: how the judge names a cause, and with which evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.record import ConnectionRecord
from echo_app.probe.results.severity import Severity


class Confidence(Enum):
    """How sure a finding is; the text is printed.

    Certain is what no accident makes, such as a wrong byte. Likely is what repeated, or differs by more than
    chance. Possible is one of several causes that look the same from this end.
    """

    CERTAIN = "certain"
    LIKELY = "likely"
    POSSIBLE = "possible"


@dataclass(frozen=True, slots=True)
class Match:
    """Result of a rule that has found its cause in the evidence.

    :param seen: counts and figures, in a few words; bytes that a peer chose are escaped.
    :param evidence: further observations, a line each.
    :param explains: the numbers of the connections that this cause explains: later rules do not see them.
    :param hits: how often it was seen, of `tries`; for the comparison with a baseline.
    :param title: in place of the rule's.
    :param meaning: in place of the rule's.
    :param severity: in place of the rule's.
    :param manner: how the cause shows, such as the kind of a translation: the direct route has the same fault
        only if it has the same manner. Empty where the cause says all.
    """

    seen: str
    confidence: Confidence = Confidence.CERTAIN
    evidence: Sequence[str] = ()
    explains: Iterable[int] = ()
    hits: int = 1
    tries: int = 1
    title: str = ""
    meaning: str = ""
    severity: Severity | None = None
    manner: str = ""


# Finds a cause in the evidence, and in the connections that no earlier rule has explained.
Find = Callable[[Evidence, Sequence[ConnectionRecord]], Match | None]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of the judge. The documentation's table is made of it.

    :param cause: its name in ``--json``: words with hyphens.
    :param title: the cause in a few words, as the verdict says it.
    :param meaning: one sentence about the effect on an application.
    :param observation: what the rule looks at, for the documentation.
    :param errs: when it is wrong, for the documentation.
    :param kinds: of the targets that it is about; empty is all.
    """

    cause: str
    severity: Severity
    title: str
    meaning: str
    observation: str
    errs: str
    find: Find
    kinds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """A cause, with its evidence.

    :param excuse: why it is no finding about the path, such as that the direct route has it too, or empty.
    :param addresses: those of the name's addresses that have it; empty where only one was examined for it.
    :param examined: the number of addresses that were examined for it.
    """

    rule: Rule
    match: Match
    excuse: str = ""
    addresses: tuple[str, ...] = ()
    examined: int = 1

    @property
    def severity(self) -> Severity:
        """How much it hurts."""
        return self.match.severity or self.rule.severity

    @property
    def title(self) -> str:
        """The cause, in a few words."""
        return self.match.title or self.rule.title

    @property
    def where(self) -> str:
        """The share of the addresses that have it, and a colon; empty where only one was examined for it."""
        return f"{len(self.addresses)} of {self.examined} addresses: " if self.addresses else ""

    @property
    def meaning(self) -> str:
        """The effect on an application."""
        return self.match.meaning or self.rule.meaning

    def data(self) -> dict[str, object]:
        """Returns the finding for JSON."""
        return {
            "cause": self.rule.cause,
            "severity": self.severity.name.lower(),
            "title": self.title,
            "seen": self.match.seen,
            "confidence": self.match.confidence.value,
            "meaning": self.meaning,
            "evidence": list(self.match.evidence),
            "hits": self.match.hits,
            "tries": self.match.tries,
            "excuse": self.excuse,
            "addresses": list(self.addresses),
            "examined": self.examined,
        }


def numbers(records: Iterable[ConnectionRecord]) -> frozenset[int]:
    """Returns the numbers of some connections."""
    return frozenset(each.number for each in records)


def byCheck(records: Iterable[ConnectionRecord]) -> str:
    """Returns how many connections of each check there are: ``identity 1, half-close 8``."""
    counts: dict[str, int] = {}
    for each in records:
        counts[each.check] = counts.get(each.check, 0) + 1
    return ", ".join(f"{name} {count}" for name, count in counts.items())
