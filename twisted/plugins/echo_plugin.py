"""Tells ``twistd`` and ``twist`` of the ``echo`` command."""

from twisted.application.service import ServiceMaker

echo = ServiceMaker(
    "echo",
    "echo_app.cli.plugin",
    "An exact echo service for network tests: TCP, UNIX, UDP.",
    "echo",
)
