"""The access options: their checks, and the access rules and the portal that they name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.cred.credentials import IUsernamePassword
from twisted.cred.strcred import AuthOptionMixin
from twisted.python.usage import Options, UsageError

from echo_app.access.checkers import PasswordFile, portalFor
from echo_app.access.networks import Access
from echo_app.cli.listenerkinds import DATAGRAMS, STREAMS

if TYPE_CHECKING:
    from twisted.cred.portal import Portal


class AccessOptions(AuthOptionMixin, Options):
    """Checks the access options. ``--help-auth`` and ``--help-auth-type`` are Twisted's own."""

    supportedInterfaces = (IUsernamePassword,)

    def checkLogins(self) -> None:
        """Refuses --auth with --udp, whose datagrams have no login, and where others can read a login.

        :raise UsageError: names the option.
        """
        if not self["auth"]:
            if self["auth-cleartext"]:
                raise UsageError("--auth-cleartext: there is no --auth that it applies to")
            return
        for kind in DATAGRAMS:
            if self[kind.option]:
                asked = f"--{kind.option} {self[kind.option][0]}"
                raise UsageError(f"--auth: not for {asked}, whose datagrams have no login")
        # A listener with a place of its own first: --interface may be shared by several.
        exposed = [each for kind in reversed(STREAMS) for each in kind.exposed(self)]
        if exposed and not self["auth-cleartext"]:
            raise UsageError(
                f"--auth: passwords in the clear on {exposed[0]}; use --tls, or --auth-cleartext"
            )

    def access(self) -> Access | None:
        """Returns the access rules; None admits all."""
        rules = Access(self["allow"], self["deny"])
        return rules if rules != Access() else None

    def portal(self) -> Portal | None:
        """Returns the portal that checks logins; None without --auth."""
        return portalFor(self["auth"]) if self["auth"] else None

    def hasPasswordFile(self) -> bool:
        """Returns whether --auth names a password file, which a reload reads again."""
        return any(isinstance(each, PasswordFile) for each in self["auth"])
