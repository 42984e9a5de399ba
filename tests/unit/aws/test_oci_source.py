"""Registries as sources: log-in, redirects that keep secrets at home, ranges, hostile answers."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import threading
from urllib.parse import parse_qs, urlsplit

import pytest

from ecrkit import errors
from ecrkit.aws.oci_source import OciSource
from ecrkit.local.clock import ManualClock
from ecrkit.promotion import Source

OCI = "application/vnd.oci.image.manifest.v1+json"
MANIFEST = json.dumps({"schemaVersion": 2, "mediaType": OCI, "layers": []}).encode()
DIGEST = "sha256:" + hashlib.sha256(MANIFEST).hexdigest()
BLOB = bytes(range(256)) * 20


class World:
    """A scripted server: routes by path give (status, headers, body), and every request is written down."""

    def __init__(self):
        self.requests, self.routes = [], {}

        world = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self):
                world.requests.append((self.command, self.path, dict(self.headers)))
                route = world.routes.get(urlsplit(self.path).path, (404, {}, b""))
                status, headers, body = route(self) if callable(route) else route
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if "Content-Length" not in headers:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_HEAD = do_GET  # noqa: N815 the name http.server looks for

            def log_message(self, *words):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.host = f"127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def world():
    made = World()
    yield made
    made.close()


@pytest.fixture
def other():
    made = World()
    yield made
    made.close()


@pytest.fixture
def source(world):
    with OciSource(world.host, plain_http=True, clock=ManualClock(), attempts=3) as made:
        yield made


def manifest(body=MANIFEST, **headers):
    return 200, {"Content-Type": OCI, **headers}, body


class TestReading:
    def test_it_is_a_source(self, source):
        assert isinstance(source, Source)

    def test_a_tag(self, world, source):
        """The registry names the digest in a header, or its manifest is hashed (OCI distribution, pulling manifests)."""
        world.routes["/v2/app/manifests/v1"] = manifest(**{"Docker-Content-Digest": DIGEST})
        assert source.digest_of("app", "v1") == DIGEST
        world.routes["/v2/app/manifests/v1"] = manifest()
        assert source.digest_of("app", "v1") == DIGEST
        assert source.digest_of("app", "none") is None

    def test_every_media_type_is_accepted(self, world, source):
        """skopeo#1936: a registry that may convert does."""
        world.routes[f"/v2/app/manifests/{DIGEST}"] = manifest()
        assert source.manifests("app", [DIGEST])[DIGEST].text.encode() == MANIFEST
        accepted = world.requests[-1][2]["Accept"]
        assert all(kind in accepted for kind in ("image.index", "manifest.list", "v1+prettyjws", OCI))

    @pytest.mark.parametrize("body", [MANIFEST + b" ", b"\xff"])
    def test_another_manifest_is_refused(self, world, source, body):
        world.routes[f"/v2/app/manifests/{DIGEST}"] = manifest(body)
        with pytest.raises(errors.InvalidManifest):
            source.manifests("app", [DIGEST])

    def test_a_manifest_without_end(self, world, source):
        world.routes[f"/v2/app/manifests/{DIGEST}"] = manifest(b" " * 4_194_305)
        with pytest.raises(errors.Unavailable, match="more than 4194304 bytes"):
            source.manifests("app", [DIGEST])

    def test_blobs(self, world, source):
        world.routes["/v2/app/blobs/sha256:1"] = (200, {}, BLOB)
        states = source.layers("app", ["sha256:1", "sha256:2"])
        assert (states["sha256:1"].size, states["sha256:2"].availability) == (len(BLOB), "UNAVAILABLE")
        assert b"".join(source.read_layer("app", "sha256:1")) == BLOB

    @pytest.mark.parametrize("ranges", [True, False])
    def test_from_a_byte_on(self, world, source, ranges):
        """A registry may send everything all the same (RFC 9110, section 14.2)."""

        def blob(request):
            assert request.headers["Range"] == "bytes=100-"
            return (206, {}, BLOB[100:]) if ranges else (200, {}, BLOB)

        world.routes["/v2/app/blobs/sha256:1"] = blob
        assert b"".join(source.read_layer("app", "sha256:1", start=100)) == BLOB[100:]

    def test_a_download_that_breaks(self, world, source):
        def short(request):
            request.close_connection = True
            return 200, {"Content-Length": str(len(BLOB) + 10)}, BLOB

        world.routes["/v2/app/blobs/sha256:1"] = short
        with pytest.raises(errors.Unavailable, match="broke"):
            list(source.read_layer("app", "sha256:1"))


class TestReferrers:
    ENTRY = {"digest": "sha256:" + "a" * 64, "mediaType": OCI, "size": 7, "artifactType": "x/sbom"}

    def test_pages(self, world, source):
        page = json.dumps({"manifests": [self.ENTRY]}).encode()
        link = {"Link": f"</v2/app/referrers/{DIGEST}/2>; rel=next"}
        world.routes[f"/v2/app/referrers/{DIGEST}"] = (200, link, page)
        world.routes[f"/v2/app/referrers/{DIGEST}/2"] = (200, {}, page)
        assert [r.artifact_type for r in source.referrers("app", DIGEST)] == ["x/sbom"] * 2

    def test_the_tag_where_there_is_no_such_question(self, world, source):
        """OCI distribution specification, referrers tag schema."""
        assert source.referrers("app", DIGEST) == []
        body = json.dumps({"schemaVersion": 2, "manifests": [self.ENTRY]}).encode()
        world.routes[f"/v2/app/manifests/{DIGEST.replace(':', '-')}"] = manifest(body)
        assert len(source.referrers("app", DIGEST)) == 1

    @pytest.mark.parametrize("body", [b"[]", b"{", b'{"manifests": 1}', b'{"manifests": [{}]}'])
    def test_nonsense(self, world, source, body):
        world.routes[f"/v2/app/referrers/{DIGEST}"] = (200, {}, body)
        with pytest.raises(errors.Unavailable):
            source.referrers("app", DIGEST)

    def test_pages_without_end(self, world, source):
        link = {"Link": f"</v2/app/referrers/{DIGEST}>; rel=next"}
        world.routes[f"/v2/app/referrers/{DIGEST}"] = (200, link, b'{"manifests": []}')
        with pytest.raises(errors.Unavailable, match="no end"):
            source.referrers("app", DIGEST)


class TestLogIn:
    """Bearer and Basic, as the registry's WWW-Authenticate says (distribution, token authentication)."""

    @staticmethod
    def bearer(world, realm, token="t-1"):
        def answer(request):
            if request.headers.get("Authorization") == f"Bearer {token}":
                return manifest(**{"Docker-Content-Digest": DIGEST})
            challenge = f'Bearer realm="{realm}",service="reg",scope="repository:app:pull"'
            return 401, {"WWW-Authenticate": challenge}, b""

        world.routes["/v2/app/manifests/v1"] = answer

    def test_a_token_for_everybody_is_kept(self, world, other, source):
        self.bearer(world, f"http://{other.host}/token")
        other.routes["/token"] = (200, {}, b'{"token": "t-1"}')
        assert source.digest_of("app", "v1") == source.digest_of("app", "v1") == DIGEST
        assert len(other.requests) == 1
        assert parse_qs(urlsplit(other.requests[0][1]).query) == {"service": ["reg"], "scope": ["repository:app:pull"]}
        assert "Authorization" not in other.requests[0][2]

    def test_a_token_that_expires_is_renewed(self, world, other, source):
        other.routes["/token"] = (200, {}, b'{"access_token": "t-1"}')
        self.bearer(world, f"http://{other.host}/token")
        source.digest_of("app", "v1")
        other.routes["/token"] = (200, {}, b'{"token": "t-2"}')
        self.bearer(world, f"http://{other.host}/token", "t-2")
        assert source.digest_of("app", "v1") == DIGEST

    def test_the_password_goes_to_the_realm_only(self, world, other):
        self.bearer(world, f"http://{other.host}/token")
        other.routes["/token"] = (200, {}, b'{"token": "t-1"}')
        with OciSource(world.host, plain_http=True, username="me", password="secret") as source:
            assert source.digest_of("app", "v1") == DIGEST
        basic = "Basic " + base64.b64encode(b"me:secret").decode()
        assert other.requests[0][2]["Authorization"] == basic
        assert all(r[2].get("Authorization") != basic for r in world.requests)

    @pytest.mark.parametrize(
        "answer", [(403, {}, b""), (200, {}, b"{}"), (200, {}, b'{"token": "a\\r\\nX: y"}'), (200, {}, b'{"token": 1}')]
    )
    def test_no_token(self, world, other, source, answer):
        self.bearer(world, f"http://{other.host}/token")
        other.routes["/token"] = answer
        with pytest.raises(errors.Denied):
            source.digest_of("app", "v1")

    @pytest.mark.parametrize("challenge", ["", "Negotiate", 'Bearer realm="file:///etc/passwd"', 'Basic realm="x"'])
    def test_no_way_in(self, world, source, challenge):
        world.routes["/v2/app/manifests/v1"] = (401, {"WWW-Authenticate": challenge}, b"")
        with pytest.raises(errors.Denied):
            source.digest_of("app", "v1")
        assert len(world.requests) == 1


class TestRedirects:
    """Blobs are often kept elsewhere; a token of the registry is not for that place."""

    def test_no_authorization_at_another_host(self, world, other):
        world.routes["/v2/app/blobs/sha256:1"] = lambda request: (
            (307, {"Location": f"http://{other.host}/store?signature=s"}, b"")
            if "Authorization" in request.headers
            else (401, {"WWW-Authenticate": 'Basic realm="x"'}, b"")
        )
        other.routes["/store"] = lambda request: (206, {}, BLOB[5:])
        with OciSource(world.host, plain_http=True, username="me", password="secret") as source:
            assert b"".join(source.read_layer("app", "sha256:1", start=5)) == BLOB[5:]
        assert "Authorization" not in other.requests[0][2]
        assert other.requests[0][2]["Range"] == "bytes=5-"

    def test_another_host_cannot_ask_for_the_password(self, world, other):
        world.routes["/v2/app/blobs/sha256:1"] = (307, {"Location": f"http://{other.host}/store"}, b"")
        challenge = f'Bearer realm="http://{other.host}/token"'
        other.routes["/store"] = (401, {"WWW-Authenticate": challenge}, b"")
        other.routes["/token"] = (200, {}, b'{"token": "t-1"}')
        named = OciSource(world.host, plain_http=True, username="me", password="secret")
        with named as source, pytest.raises(errors.Denied):
            list(source.read_layer("app", "sha256:1"))
        assert [path for _, path, _ in other.requests] == ["/store"]

    def test_within_the_registry_it_stays(self, world):
        world.routes["/v2/app/blobs/sha256:1"] = lambda request: (
            (302, {"Location": "/elsewhere"}, b"")
            if "Authorization" in request.headers
            else (401, {"WWW-Authenticate": 'Basic realm="x"'}, b"")
        )
        world.routes["/elsewhere"] = (200, {}, BLOB)
        with OciSource(world.host, plain_http=True, username="me", password="secret") as source:
            assert b"".join(source.read_layer("app", "sha256:1")) == BLOB
        assert world.requests[-1][2]["Authorization"].startswith("Basic ")

    @pytest.mark.parametrize("aim", ["/v2/app/blobs/sha256:1", "file:///etc/passwd", "gopher://x/"])
    def test_round_and_away(self, world, source, aim):
        world.routes["/v2/app/blobs/sha256:1"] = (302, {"Location": aim}, b"")
        with pytest.raises(errors.Unavailable, match="redirect"):
            list(source.read_layer("app", "sha256:1"))


class TestTriedAgain:
    @pytest.mark.parametrize("status", [429, 500, 503])
    def test_until_it_works(self, world, source, status):
        answers = [(status, {"Retry-After": "7"}, b""), manifest(**{"Docker-Content-Digest": DIGEST})]
        world.routes["/v2/app/manifests/v1"] = lambda request: answers.pop(0)
        assert source.digest_of("app", "v1") == DIGEST

    @pytest.mark.parametrize(
        ("status", "kind"),
        [(429, errors.Throttled), (500, errors.Unavailable), (403, errors.Denied), (418, errors.Unavailable)],
    )
    def test_until_it_is_enough(self, world, source, status, kind):
        world.routes["/v2/app/manifests/v1"] = (status, {}, b"")
        with pytest.raises(kind, match=f"HTTP {status}"):
            source.digest_of("app", "v1")
        assert len(world.requests) == (3 if status in (429, 500) else 1)

    def test_nobody_there(self):
        with (
            OciSource("127.0.0.1:1", plain_http=True, clock=ManualClock(), attempts=2) as source,
            pytest.raises(errors.Unavailable) as fault,
        ):
            source.digest_of("app", "v1")
        assert fault.value.__cause__ is None


@pytest.mark.parametrize("host", ["", "a/b", "user@host", "host?x", "a b", "a\nb"])
def test_hosts(host):
    with pytest.raises(errors.InvalidInput):
        OciSource(host)


def test_a_name_without_a_password():
    with pytest.raises(errors.InvalidInput):
        OciSource("quay.io", username="me")
