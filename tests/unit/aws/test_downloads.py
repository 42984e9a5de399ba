"""Layers come through a URL of their own: checked, without credentials, and the URL never shows."""

from __future__ import annotations

import hashlib
import threading
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ecrkit import errors
from ecrkit.aws.downloads import checked, fetch_over_http
from ecrkit.aws.ecr import EcrGateway

TOKEN = "hush"
BODY = bytes(range(256)) * 16384  # 4 MiB, several chunks


def sha(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Layers(BaseHTTPRequestHandler):
    """Answers by path: `/layer` the bytes, `/cut` half of them, `/moved` a redirect, `/403` that status."""

    seen: list[dict[str, str]]

    def do_GET(self):
        self.seen.append({name.lower(): value for name, value in self.headers.items()})
        what = self.path.split("?")[0].strip("/")
        status = 200 if what in ("layer", "cut") else 302 if what == "moved" else int(what)
        self.send_response(status)
        self.send_header("Content-Length", str(len(BODY) if status == 200 else 0))
        if status == 302:
            self.send_header("Location", "/layer")
        self.end_headers()
        if status == 200:
            self.wfile.write(BODY if what == "layer" else BODY[: len(BODY) // 2])

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture(scope="module")
def served():
    handler = type("Handler", (Layers,), {"seen": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", handler.seen
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


class TestOverHttp:
    """GetDownloadUrlForLayer's URL is its own authority (ECR API reference)."""

    def test_chunks(self, served):
        url, seen = served
        chunks = list(fetch_over_http(f"{url}/layer?token={TOKEN}"))
        assert b"".join(chunks) == BODY
        assert len(chunks) > 1
        assert max(map(len, chunks)) <= 1024 * 1024
        assert "authorization" not in seen[-1]
        assert not any(name.startswith("x-amz") for name in seen[-1])

    @pytest.mark.parametrize(
        ("path", "kind"),
        [
            ("403", errors.Denied),
            ("401", errors.Denied),
            ("404", errors.NotFound),
            ("410", errors.NotFound),
            ("500", errors.Unavailable),
            ("204", errors.Unavailable),
            ("moved", errors.Unavailable),
        ],
    )
    def test_another_status(self, served, path, kind):
        with pytest.raises(kind) as caught:
            list(fetch_over_http(f"{served[0]}/{path}?token={TOKEN}"))
        assert TOKEN not in "".join(traceback.format_exception(caught.value))

    def test_nobody_listens(self, served):
        with pytest.raises(errors.Unavailable, match="ask for a new URL") as caught:
            list(fetch_over_http(f"http://127.0.0.1:1/layer?token={TOKEN}"))
        assert TOKEN not in "".join(traceback.format_exception(caught.value))
        assert caught.value.code == "EndpointConnectionError"

    @pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/x", "layer"])
    def test_no_other_scheme(self, url):
        with pytest.raises(errors.Unavailable, match="neither https nor http"):
            list(fetch_over_http(url))


class TestChecked:
    """What does not hash to its digest is no layer (OCI distribution specification)."""

    def test_the_whole(self):
        assert list(checked([b"a", b"b"], sha(b"ab"), resource="app")) == [b"a", b"b"]

    @pytest.mark.parametrize("chunks", [[], [b"a"], [b"ab", b"c"], [b"ba"]])
    def test_other_bytes(self, chunks):
        with pytest.raises(errors.Unavailable, match="damaged or incomplete") as caught:
            list(checked(chunks, sha(b"ab"), resource="app"))
        assert (caught.value.code, caught.value.resource) == ("DigestMismatch", "app")


class TestThroughTheGateway:
    """The gateway asks for a URL and hands out checked bytes."""

    def test_a_cut_connection_is_noticed(self, served, scripted):
        caller, script = scripted(lambda *_: {"downloadUrl": f"{served[0]}/cut?token={TOKEN}"})
        with pytest.raises(errors.Unavailable) as caught:
            list(EcrGateway(caller).download_layer("app", sha(BODY)))
        assert TOKEN not in "".join(traceback.format_exception(caught.value))
        assert script.operations == ["GetDownloadUrlForLayer"]

    def test_nothing_is_asked_before_it_is_read(self, served, scripted):
        caller, script = scripted(lambda *_: {"downloadUrl": f"{served[0]}/layer"})
        chunks = EcrGateway(caller).download_layer("app", sha(BODY))
        assert script.calls == []
        assert b"".join(chunks) == BODY
