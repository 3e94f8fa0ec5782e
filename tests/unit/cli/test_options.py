"""The options, their help, their completion and their reference."""

from __future__ import annotations

import os
import re
from contextlib import redirect_stdout
from dataclasses import asdict
from io import BytesIO, StringIO
from pathlib import Path

from echo_app import __version__, cli
from echo_app.cli.options import Options
from echo_app.cli.setting import Setting, helpText
from echo_app.cli.settings import LIMITS, SERVICE, SETTINGS
from echo_app.connections.limits import Limits
from echo_app.responders.named import NAMES
from echo_app.transport.sockets import Keepalive
from tests import ROOT
from tests.unit.cli.commandline import OptionsTestCase, parsed
from tests.unit.cli.reference import reference


class OptionsTests(OptionsTestCase):
    def test_defaults(self) -> None:
        """Without arguments: 127.0.0.1:8080, no UDP, no caps, and time-outs that are safe."""
        options = parsed()
        self.assertEqual(
            {name: options[name] for name in ("port", "interface", "listen", "udp")},
            {"port": [8080], "interface": ["127.0.0.1"], "listen": [], "udp": []},
        )
        self.assertEqual((options["idle-timeout"], options["stall-timeout"]), (None, 300))
        self.assertEqual((options["drain-timeout"], options["udp-rate"]), (5, 1000))
        self.assertEqual(str(options["keepalive"]), "60,10,6")

    def test_repeatable(self) -> None:
        """Listeners can be asked for more than once, and by their short names."""
        options = parsed(
            *("-p", "0", "--port", "65535", "-u", "1", "--udp", "2"),
            *("-i", "::1", "--interface", "192.0.2.1", "-l", "tcp:1", "--listen", "unix:x"),
        )
        self.assertEqual(options["port"], [0, 65535])
        self.assertEqual(options["udp"], [1, 2])
        self.assertEqual(options["interface"], ["::1", "192.0.2.1"])
        self.assertEqual(options["listen"], ["tcp:1", "unix:x"])

    def test_portRanges(self) -> None:
        """A range is all its ports, its ends included."""
        options = parsed("-p", "9000-9003", "--tls", "7", "--tls", "9-9", "-u", "65534-65535", "--port", "80")
        self.assertEqual(options["port"], [9000, 9001, 9002, 9003, 80])
        self.assertEqual((options["tls"], options["udp"]), ([7, 9], [65534, 65535]))

    def test_nothingElseAskedFor(self) -> None:
        """8080 is there only when no other listener was asked for."""
        for arguments in (["--udp", "1"], ["--listen", "tcp:1"]):
            self.assertEqual(parsed(*arguments)["port"], [])
        self.assertEqual(parsed("--interface", "::1")["port"], [8080])

    def test_interfaceWithoutUse(self) -> None:
        """--interface without anything that it applies to is an error."""
        self.assertIn("--interface '::1'", self.refusal("--interface", "::1", "--listen", "tcp:1"))

    def test_proxyProtocol(self) -> None:
        """--proxy-protocol needs a --port, which is there by default, and --trust-proxy needs it."""
        self.assertEqual((parsed()["proxy-protocol"], parsed("--proxy-protocol")["proxy-protocol"]), (0, 1))
        options = parsed("--proxy-protocol", "--trust-proxy", "10.0.0.0/8", "--trust-proxy", "::1")
        self.assertEqual([str(each) for each in options["trust-proxy"]], ["10.0.0.0/8", "::1/128"])
        self.assertIn("--proxy-protocol: ", self.refusal("--proxy-protocol", "--listen", "tcp:1"))
        for place in ("unix:/run/echo", "systemd:0"):
            for option in ("--listen", "--tls"):
                self.assertEqual(parsed("--proxy-protocol", option, place)["port"], [])
        self.assertIn("--proxy-protocol: ", self.refusal("--proxy-protocol", "--port", "1", "--udp", "2"))
        self.assertIn("--trust-proxy '::1/128': ", self.refusal("--trust-proxy", "::1"))

    def test_values(self) -> None:
        """A value that an option can't have is named, with the option and the reason."""
        folder = self.mktemp()
        os.mkdir(folder)
        for option, values in {
            "port": ("-1", "65536", "abc", "", "1.5", "٣", "9-8", "0-5", "1-65536", "1-", "1-2-3"),
            "udp": ("-1", "65536", "abc", ""),
            "interface": ("localhost", "", "1.2.3", "224.0.0.1", "ff02::1", "255.255.255.255"),
            "trust-proxy": ("", "localhost", "10.0.0.1/8", "10.0.0.0/33", "::1/129"),
            "max-connections": ("-1", "x", "", "1e3"),
            "max-connections-per-peer": ("-1",),
            "idle-timeout": ("-1", "nan", "inf", "x", ""),
            "stall-timeout": ("-1",),
            "drain-timeout": ("nan",),
            "udp-rate": ("-0.5",),
            "responder": ("", "ecoh", "echo_none:x", "os:none", "os:name"),
            "responder-timeout": ("-1", "x"),
            "keepalive": ("1", "1,2", "a,b,c", "0,1,1", "1,1,128", "40000,1,1", ""),
            "ready-file": ("", folder, folder + "/none/ready"),
        }.items():
            for value in values:
                self.assertIn(f"--{option} {value!r}: ", self.refusal(f"--{option}={value}"))

    def test_usage(self) -> None:
        """Options that do not exist, missing values, and arguments are refused."""
        self.assertIn("--frob", self.refusal("--frob"))
        self.assertIn("requires argument", self.refusal("--port"))
        self.assertIn("'stray'", self.refusal("stray"))

    def test_keepalive(self) -> None:
        """Three numbers, or 0 for none."""
        self.assertEqual(parsed("--keepalive", "7,8,9")["keepalive"], Keepalive(7, 8, 9))
        self.assertIs(parsed("--keepalive", "0")["keepalive"], None)

    def test_version(self) -> None:
        """--version says ours."""
        with redirect_stdout(StringIO()) as printed:
            self.assertEqual(self.assertRaises(SystemExit, parsed, "--version").code, 0)
        self.assertEqual(printed.getvalue(), f"echo_app {__version__}\n")

    def test_help(self) -> None:
        """The help has each option once, within the terminal's width, narrow or wide."""
        for width in (1, 60, 80, 120):
            self.patch(os, "environ", {**os.environ, "COLUMNS": str(width)})
            text = str(Options())
            self.assertLessEqual(max(map(len, text.splitlines())), max(width, 60))
            options = re.findall(r"^  (?:-\w,|   ) --([a-z-]+)", text, re.M)
            added = ["help", "help-auth", "help-auth-type", "version"]
            self.assertEqual(options, [*SETTINGS, *added])

    def test_helpText(self) -> None:
        """A setting's line has its short form, its value, the meaning of 0, and its default."""
        one = Setting("one", "Text.", short="o", value="N", default=5, zero="off")
        two = Setting("two-with-a-long-name", "Text.", value="SECONDS", isRepeatable=True, zero="any")
        self.assertEqual(
            helpText({"Group": [one, two]}, 80).splitlines(),
            [
                "",
                "Group:",
                "  -o, --one N               Text. 0: off. [default: 5]",
                "      --two-with-a-long-name SECONDS",
                "                            Text. 0: any. Repeatable.",
            ],
        )

    def test_limits(self) -> None:
        """Every limit has an option, with its default."""
        options = parsed()
        self.assertEqual(
            {each.parameter: options[each.name] for each in SETTINGS.values() if each.parameter in LIMITS},
            asdict(Limits()),
        )

    def test_used(self) -> None:
        """Each setting fills a parameter, opens listeners, or is read by the code of the command line."""
        folder = Path(cli.__file__).parent
        code = "".join(path.read_text() for path in folder.glob("*.py") if path.stem != "settings")
        read = {name for name in SETTINGS if re.search(f"[\"']{name}[\"']", code)}
        filling = {each.name for each in SETTINGS.values() if each.parameter in {*LIMITS, *SERVICE}}
        self.assertEqual({*SETTINGS} - read - filling, set())

    def test_flags(self) -> None:
        """A flag gives the parameter that it fills the opposite of the parameter's default."""
        for name, values in (("no-direct", (True, False)), ("log-connections", (False, True))):
            arguments = SETTINGS[name].argument(0), SETTINGS[name].argument(1)
            self.assertEqual(arguments, values)

    def test_completion(self) -> None:
        """The shell completes repeatable options again, files where one is meant, and responders."""
        options = Options()
        with BytesIO() as file:
            options._shellCompFile = file
            self.assertRaises(SystemExit, options.parseOptions, ["--", "--_shell-completion", "zsh:2"])
            lines = file.getvalue().decode().splitlines()
        for start, end in (
            ("'*-p[", ":N:' \\"),
            ("'*--port=[", ":N:' \\"),
            ("'--access-log=[", '_files -g "*"\' \\'),
            ("'--responder=[", f":({' '.join(NAMES)})' \\"),
            ("'--auth-cleartext[", "]' \\"),
        ):
            (line,) = (each for each in lines if each.startswith(start))
            self.assertTrue(line.endswith(end), line)

    def test_reference(self) -> None:
        """The document has each option with its default and effect, and no other one."""
        self.assertEqual((ROOT / "docs/options.rst").read_text(), reference(), "run tests.unit.cli.reference")
