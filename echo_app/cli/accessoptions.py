"""The options that say who may talk: by address, and by login."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.cred.credentials import IUsernamePassword
from twisted.cred.strcred import AuthOptionMixin
from twisted.python.usage import Options, UsageError

from echo_app.access.checkers import BadChecker, PasswordFile, checkerOf, portalFor
from echo_app.access.networks import Access
from echo_app.addresses import isLoopbackHost, networkOf
from echo_app.cli.arguments import named
from echo_app.service.endpoints import isPrivate

if TYPE_CHECKING:
    from twisted.cred.portal import Portal


class AccessOptions(AuthOptionMixin, Options):
    """Their part of the command line; ``--help-auth`` and ``--help-auth-type`` are Twisted's own."""

    supportedInterfaces = (IUsernamePassword,)
    optFlags = [
        ["auth-cleartext", None, "Take logins from the network without TLS too, where others can read them."],
    ]

    def opt_allow(self, text: str) -> None:
        """Network or address whose peers may come, and no others; the most specific decides. Repeatable."""
        self.setdefault("allow", []).append(named("allow", networkOf)(text))

    def opt_deny(self, text: str) -> None:
        """Network or address whose peers may not come. Repeatable."""
        self.setdefault("deny", []).append(named("deny", networkOf)(text))

    def opt_auth(self, text: str) -> None:
        """Who may log in: file:PATH, memory:USER:PASSWORD, or what --help-auth lists. Repeatable."""
        try:
            self.setdefault("auth", []).append(checkerOf(text))
        except BadChecker as error:
            # What follows the kind may have passwords in it.
            raise UsageError(f"--auth {text.partition(':')[0]!r}: {error}") from None

    def checkLogins(self) -> None:
        """Refuses what has no login, and logins that others could read.

        :raise UsageError: says which.
        """
        if "auth" not in self:
            if self["auth-cleartext"]:
                raise UsageError("--auth-cleartext: there is no --auth that it applies to")
            return
        if self["udp-ports"]:
            raise UsageError(f"--auth: not for --udp {self['udp-ports'][0]}, whose datagrams have no login")
        exposed = [f"--listen {each!r}" for each in self["endpoints"] if not isPrivate(each)]
        if self["ports"]:
            exposed += [f"--interface {each!r}" for each in self["interfaces"] if not isLoopbackHost(each)]
        if exposed and not self["auth-cleartext"]:
            raise UsageError(
                f"--auth: passwords in the clear on {exposed[0]}; use --tls, or --auth-cleartext"
            )

    def access(self) -> Access | None:
        """Returns the networks that may come; None is all."""
        rules = Access(self.get("allow", ()), self.get("deny", ()))
        return rules if rules != Access() else None

    def portal(self) -> Portal | None:
        """Returns what logins are checked by; None is no login."""
        return portalFor(self["auth"]) if "auth" in self else None

    def hasPasswordFile(self) -> bool:
        """Says whether there are passwords that can be read again."""
        return any(isinstance(each, PasswordFile) for each in self.get("auth", ()))
