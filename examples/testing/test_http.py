"""urllib3 on a faulty path to an HTTP server: ``pytest test_http.py``."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import urllib3

PAGE = b"0123456789" * 20_000


class Site(BaseHTTPRequestHandler):
    """Answers a request with a page, notes its method, and ends the connection."""

    def do_GET(self):
        """Sends the page."""
        self.server.methods.append(self.command)
        self.send_response(200)
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)

    do_POST = do_GET


@pytest.fixture
def site():
    """A server in a thread of the test."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        server.methods = []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def path(site, faulty_path):
    """A path to the server, whose first connection is reset within the page."""
    return faulty_path(*site.server_address, faults=["reset,after=64KiB,connections=1"])


def ask(path, method, **settings):
    """Returns the answer to a request, with three retries."""
    with urllib3.PoolManager(retries=urllib3.Retry(3, backoff_factor=0.01)) as client:
        return client.request(method, f"http://{path.host}:{path.port}/", **settings).data


def test_get(site, path):
    """A GET is tried again, from the page's beginning."""
    assert ask(path, "GET") == PAGE
    assert site.methods == ["GET", "GET"]
    cut, whole = path.waitForRecords(2)
    assert (cut.bytes_out, cut.ended, whole.ended) == (65536, "fault", "fin")


def test_getInPieces(site, path):
    """Nothing is tried again for a client that reads the page by itself."""
    with pytest.raises(urllib3.exceptions.ProtocolError):
        ask(path, "GET", preload_content=False)
    assert site.methods == ["GET"]
    assert len(path.waitForRecords(1)) == 1


def test_post(site, path):
    """A POST is not tried again, since it may have had its effect."""
    with pytest.raises(urllib3.exceptions.ProtocolError):
        ask(path, "POST")
    assert site.methods == ["POST"]
    assert len(path.waitForRecords(1)) == 1
