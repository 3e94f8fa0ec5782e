"""The table of paths over TLS."""

from __future__ import annotations

from functools import partial

from tests.support.crooked import flipped
from tests.zoo import measuretls as m
from tests.zoo import tls
from tests.zoo.identity import Edited
from tests.zoo.path import NONE, Path
from tests.zoo.services import direct
from tests.zoo.tls import issued, secured, terminated

OTHER_NAME = ("--sni", "other.example")
ALPN = ("--alpn", "echo/1")

TLS = [
    Path(
        "tls-plain",
        "tls",
        "the service does not speak TLS",
        "service-is-plain",
        direct(scheme="tls"),
        m.isPlain,
    ),
    Path(
        "tls-untrusted",
        "tls",
        "an authority has signed that the client does not trust",
        "certificate-untrusted",
        secured(issued(trusted="other")),
        m.rejected(m.NO_ISSUER, "authority"),
    ),
    Path(
        "tls-expired",
        "tls",
        "the certificate has expired",
        "certificate-expired",
        secured(issued(-20.0, -2.0)),
        m.rejected(m.EXPIRED),
    ),
    Path(
        "tls-not-yet",
        "tls",
        "the certificate is not valid yet",
        "certificate-not-yet-valid",
        secured(issued(2.0, 20.0)),
        m.rejected(m.NOT_YET),
    ),
    Path(
        "tls-ends-soon",
        "tls",
        "the certificate ends in 3 days",
        "certificate-ends-soon",
        secured(issued(-20.0, 3.0)),
        m.endsWithin(4.0),
    ),
    Path(
        "tls-incomplete",
        "tls",
        "the certificate of the authority between is not sent",
        "chain-incomplete",
        secured(issued(chain=True)),
        m.rejected(m.NO_ISSUER, "between"),
    ),
    Path(
        "tls-name",
        "tls",
        "the certificate is for another name",
        "certificate-name",
        secured(issued(), more=OTHER_NAME),
        m.wrongName,
    ),
    Path(
        "tls-intercepted",
        "tls",
        "a proxy with an authority of its own, which the client trusts",
        "intercepted",
        tls.intercepted,
        m.isIntercepted,
    ),
    Path(
        "tls-alpn-ignored",
        "tls",
        "the service ignores the offered protocol",
        "alpn-ignored",
        secured(issued(), more=ALPN),
        m.ignoresALPN,
    ),
    Path(
        "tls-no-resumption",
        "tls",
        "tickets are given and not accepted",
        "no-resumption",
        terminated(True, False),
        m.resumes(False),
    ),
    Path(
        "tls-client-certificate",
        "tls",
        "the service wants a client's certificate",
        "client-certificate-required",
        secured(issued(), "--client-ca", "{folder}/other.pem"),
        m.wantsCertificate,
    ),
    Path(
        "tls-no-close-notify",
        "tls",
        "connections end by FIN alone",
        "no-close-notify",
        terminated(False, True),
        m.endsWithoutNotify,
    ),
    Path(
        "tls-byte-flipped",
        "tls",
        "one bit of the records flipped, at offset 20000",
        "records-changed",
        tls.securelyRelayed(partial(Edited, edit=flipped(20_000))),
        m.breaks,
    ),
    Path("good-tls", "tls", "no fault", NONE, secured(), m.exactTLS),
    Path(
        "good-tls-threads",
        "tls",
        "no fault: another service, which resumes sessions",
        NONE,
        terminated(True, True),
        m.resumes(True),
    ),
]
