from __future__ import annotations

import http.client
import json
import socket
import urllib.request

import boto3
import pytest
from botocore.config import Config

from ecrkit.local import Engine, LocalServer, client, serve
from ecrkit.local.aws_json_http import credential_scope
from tests.support.lab import sha

TARGET = "AmazonEC2ContainerRegistry_V20150921."


class TestBadRequests:
    """A bad request is answered with 400 and a type: clients repeat 5xx (AWS SDK retry behaviour)."""

    @pytest.mark.parametrize(
        ("target", "body", "code"),
        [
            (TARGET + "Nonsense", b"{}", "UnknownOperationException"),
            ("DynamoDB_20120810.ListTables", b"{}", "UnknownOperationException"),
            ("", b"{}", "UnknownOperationException"),
            (TARGET + "DescribeRepositories", b"\xff\xfe", "SerializationException"),
            (TARGET + "DescribeRepositories", b"[" * 100_000, "SerializationException"),
            (TARGET + "DescribeRepositories", b"[]", "SerializationException"),
            (TARGET + "DescribeRepositories", b'{"maxResults": "x"}', "InvalidParameterException"),
        ],
    )
    def test_typed_refusal(self, wire, target: str, body: bytes, code: str):
        found = wire("POST", "/", body, X_Amz_Target=target)
        assert (found.status, found.document["__type"]) == (400, code)

    def test_another_path(self, wire):
        assert wire("GET", "/").status == 404
        assert wire("POST", "/elsewhere", b"{}").status == 404
        assert wire("POST", "/", b"{}", X_Amz_Target=TARGET + "DescribeRepositories").status == 200

    def test_a_body_beyond_the_bound(self, engine):
        with serve(engine, max_body=1000) as server:
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
            connection.request("POST", "/", body=b"x" * 1001)
            assert connection.getresponse().status == 413
            connection.close()
            connection.request("POST", "/", body=iter([b"x" * 600, b"x" * 401]), encode_chunked=True)
            assert connection.getresponse().status == 413
            connection.close()

    @pytest.mark.parametrize(
        "head",
        [
            b"Content-Length: ten",
            b"Content-Length: -1",
            b"Content-Length: 2\r\nTransfer-Encoding: chunked",
            b"Transfer-Encoding: gzip",
            b"Transfer-Encoding: chunked\r\n\r\nzz",
            b"Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n",
        ],
    )
    def test_unreadable_bodies(self, server: LocalServer, head: bytes):
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as raw:
            raw.sendall(b"POST / HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n")
            found = raw.makefile("rb").read()  # the server ends such a connection
            assert found.split()[1] in (b"400", b"501") and b'"SerializationException"' in found

    def test_a_defect_is_a_500_and_logged(self, wire, engine, caplog: pytest.LogCaptureFixture):
        def broken(call: object) -> None:
            raise RuntimeError("defect")

        engine.before_call.append(broken)
        assert wire("POST", "/", b"{}", X_Amz_Target=TARGET + "DescribeRepositories").status == 500
        assert "defect" in caplog.text


class TestWhoAndWhere:
    """The region comes from the signature's credential scope; twelve digits as access key name the account."""

    def test_scope(self):
        found = credential_scope("AWS4-HMAC-SHA256 Credential=AKIA/20260101/eu-west-1/ecr/aws4_request, Signature=1")
        assert (found.account, found.region) == (None, "eu-west-1")

    @pytest.mark.parametrize(
        "text", ["", "Basic QVdTOng=", "AWS4-HMAC-SHA256 Credential=/2026/x", "Credential=a/b/c/d/e"]
    )
    def test_no_scope(self, text: str):
        assert credential_scope(text).region is None

    def test_accounts_and_regions_are_apart(self, server: LocalServer):
        def ecr(key: str, region: str):
            return boto3.client(
                "ecr", endpoint_url=server.url, region_name=region, aws_access_key_id=key, aws_secret_access_key="x"
            )

        made = ecr("111122223333", "eu-west-1").create_repository(repositoryName="mine")["repository"]
        assert made["repositoryArn"] == "arn:aws:ecr:eu-west-1:111122223333:repository/mine"
        assert [r["repositoryName"] for r in ecr("any", "us-east-1").describe_repositories()["repositories"]] == [
            "team/app"
        ]
        assert ecr("111122223333", "us-east-1").describe_repositories()["repositories"] == []


class TestTokenAndDownload:
    """Over HTTP the token's endpoint and the download URLs lead back to this server."""

    def test_proxy_endpoint(self, server: LocalServer, engine: Engine):
        over = boto3.client("ecr", endpoint_url=server.url, region_name="us-east-1")
        data = over.get_authorization_token()["authorizationData"][0]
        assert data["proxyEndpoint"] == server.url
        request = urllib.request.Request(
            server.url + "/v2/", headers={"Authorization": "Basic " + data["authorizationToken"]}
        )
        with urllib.request.urlopen(request) as reply:
            assert reply.status == 200
        in_process = client(engine).get_authorization_token()["authorizationData"][0]
        assert in_process["proxyEndpoint"] == "https://123456789012.dkr.ecr.us-east-1.amazonaws.com"

    def test_download_url(self, wire, engine: Engine):
        data = b"config"
        engine.registry().put_blob("team/app", sha(data), data)
        reference = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": sha(data), "size": len(data)}
        media = "application/vnd.oci.image.manifest.v1+json"
        text = json.dumps({"schemaVersion": 2, "mediaType": media, "config": reference, "layers": []})
        engine.call("PutImage", {"repositoryName": "team/app", "imageManifest": text})
        url = engine.call("GetDownloadUrlForLayer", {"repositoryName": "team/app", "layerDigest": sha(data)})[
            "downloadUrl"
        ]
        assert url.startswith(wire.server.url + "/layers/")
        path = url.removeprefix(wire.server.url)
        assert wire("GET", path).body == data
        part = wire("GET", path, Range="bytes=2-3")
        assert (part.status, part.body, part.headers["Content-Range"]) == (206, b"nf", "bytes 2-3/6")
        assert wire("GET", path.partition("?")[0] + "?token=guess").status == 403


class TestLife:
    """A server stops wholly, and leaves the engine as it was."""

    def test_close(self, engine: Engine):
        server = serve(engine)
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        connection.request("POST", "/", body=b"{}", headers={"X-Amz-Target": TARGET + "DescribeRepositories"})
        assert connection.getresponse().read()
        server.close()
        server.close()
        assert engine.download_base is None
        assert connection.sock is None or connection.sock.recv(1) == b""
        connection.close()
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", server.port), timeout=5)

    def test_a_port_taken(self, server: LocalServer):
        with pytest.raises(OSError, match="in use"):
            serve(Engine(), port=server.port)

    def test_head_and_body_leave_at_once(self, wire, monkeypatch: pytest.MonkeyPatch):
        sent: list[bytes] = []
        for name in ("send", "sendall"):
            original = getattr(socket.socket, name)

            def noted(self: socket.socket, data: bytes, *flags: int, _original=original) -> object:
                sent.append(bytes(data))
                return _original(self, data, *flags)

            monkeypatch.setattr(socket.socket, name, noted)
        assert wire("GET", "/v2/_catalog").status == 200
        answers = [data for data in sent if not data.startswith(b"GET ")]
        assert len(answers) == 1 and answers[0].endswith(b'{"repositories":["team/app"]}')

    def test_calls_do_not_wait_for_one_another(self, server: LocalServer):
        ecr = boto3.client(
            "ecr", endpoint_url=server.url, region_name="us-east-1", config=Config(retries={"total_max_attempts": 1})
        )
        idle = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        assert ecr.describe_repositories()["repositories"]
        idle.close()
