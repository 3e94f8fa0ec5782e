"""Validity of certificates: their dates, and the order of a chain, in words for the operator.

OpenSSL serves with a certificate that clients refuse. So the service warns of that at its start, and before
and after each date on which a certificate or a revocation list expires.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from cryptography import x509

# Time before a date at which the operator is told. It is short, because most certificates are renewed
# automatically, some weeks before; in a day a person can do that.
NOTICE = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Deadline:
    """A date after which something does not hold any more.

    :param subject: what holds until then, such as a certificate of a file.
    :param until: the date.
    :param effect: what happens then.
    """

    subject: str
    until: datetime
    effect: str

    def warning(self, now: datetime) -> str | None:
        """Returns a line for the operator, which stays the same until it is about to change; None before."""
        if now > self.until:
            return f"{self.subject} has expired, on {dateOf(self.until)}: {self.effect}"
        if now > self.until - NOTICE:
            return f"{self.subject} expires on {dateOf(self.until)}; then {self.effect}"
        return None


def nameOf(name: x509.Name) -> str:
    """Returns a subject or an issuer in the form of RFC 4514."""
    return name.rfc4514_string() or "without a name"


def deadlinesOf(certificates: Iterable[x509.Certificate], path: str, effect: str) -> list[Deadline]:
    """Returns the dates on which the certificates of a file expire.

    :param effect: what happens then.
    """
    return [
        Deadline(f"{path}: certificate {number}", each.not_valid_after_utc, effect)
        for number, each in enumerate(certificates, 1)
    ]


def chainWarnings(chain: list[x509.Certificate], path: str, now: datetime) -> Iterator[str]:
    """Yields a line for each defect of a server's chain for which clients may refuse it, except past dates.

    :param path: the file's path.
    """
    for number, each in enumerate(chain, 1):
        if now < each.not_valid_before_utc:
            begin = dateOf(each.not_valid_before_utc)
            yield f"{path}: certificate {number} is not valid before {begin}: clients refuse it"
    for each, issuer in pairwise(chain):
        if each.issuer != issuer.subject:
            yield (
                f"{path}: the order is wrong, or a certificate is missing: after {nameOf(each.subject)} must "
                f"come its issuer, {nameOf(each.issuer)}, and not {nameOf(issuer.subject)}"
            )
            break
    leaf = chain[0]
    if len(chain) == 1 and leaf.issuer != leaf.subject and not _isTrusted(leaf.issuer):
        yield (
            f"{path}: the issuer's certificate, {nameOf(leaf.issuer)}, is not in the file: clients need it, "
            "unless it is a root that they trust"
        )


def trustedRoots() -> list[bytes]:
    """Returns the roots that programs of this machine trust, in DER form."""
    return ssl.create_default_context().get_ca_certs(binary_form=True)


def _isTrusted(issuer: x509.Name) -> bool:
    # The name's own bytes are looked for, since the package cryptography warns of some of the roots.
    name = issuer.public_bytes()
    return any(name in root for root in trustedRoots())


def dateOf(date: datetime) -> str:
    """Returns a date as lines for the operator have it."""
    return f"{date:%Y-%m-%d %H:%M} UTC"
