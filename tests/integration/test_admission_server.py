"""The admission server over real TLS sockets, with clients of the standard library."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from ecrkit.admission import AdmissionServer, ServerOptions, TlsFiles, application
from ecrkit.errors import InvalidInput
from tests.support.admission import FakeRegistry, image, profile, service

BODY = json.dumps({"images": [image("clean")]}).encode()
OPTIONS = ServerOptions(host="127.0.0.1", port=0, threads=4, drain_seconds=0, idle_seconds=2)


class Certificates:
    def __init__(self, folder: Path) -> None:
        self.folder, self.ca, self.other = folder, trustme.CA(), trustme.CA()
        self.ca.cert_pem.write_to_path(folder / "ca.pem")
        self.renew()
        self.ca.issue_cert("gatekeeper@example.com").private_key_and_cert_chain_pem.write_to_path(folder / "client.pem")
        self.other.issue_cert("evil@example.com").private_key_and_cert_chain_pem.write_to_path(folder / "evil.pem")

    def renew(self) -> None:
        made = self.ca.issue_cert("localhost", "127.0.0.1")
        made.private_key_pem.write_to_path(self.folder / "key.pem")
        made.cert_chain_pems[0].write_to_path(self.folder / "cert.pem")

    def files(self, *, client_ca: bool = False) -> TlsFiles:
        ca = self.folder / "ca.pem" if client_ca else None
        return TlsFiles(certificate=self.folder / "cert.pem", key=self.folder / "key.pem", client_ca=ca)

    def context(self, client: str | None = None, *, newest: ssl.TLSVersion | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        if client:
            context.load_cert_chain(self.folder / client)
        if newest is not None:
            context.minimum_version = context.maximum_version = newest
        return context


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("tls"))


def ask(port: int, context: ssl.SSLContext, path: str = "/v1/kyverno", body: bytes | None = BODY) -> tuple[int, bytes]:
    connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=10)
    try:
        headers = {"Content-Type": "application/json"}
        connection.request("GET" if body is None else "POST", path, body, headers if body is not None else {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def handshake(port: int, context: ssl.SSLContext) -> ssl.SSLSocket:
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port), 10), server_hostname="localhost")


@pytest.fixture
def server(certificates: Certificates) -> Iterator[AdmissionServer]:
    with (
        service(FakeRegistry()) as asked,
        AdmissionServer(application(asked), tls=certificates.files(), options=OPTIONS) as made,
    ):
        yield made


@pytest.fixture
def mutual(certificates: Certificates) -> Iterator[AdmissionServer]:
    with service(FakeRegistry()) as asked:
        app = application(asked, certified=["kyverno"])
        with AdmissionServer(app, tls=certificates.files(client_ca=True), options=OPTIONS) as made:
            yield made


class TestTls:
    """HTTPS only, TLS 1.3 or later (Gatekeeper, External Data)."""

    def test_an_answer(self, server: AdmissionServer, certificates: Certificates) -> None:
        status, body = ask(server.port, certificates.context())
        assert (status, json.loads(body)["allowed"]) == (200, True)

    def test_it_is_version_1_3_and_nothing_older(self, server: AdmissionServer, certificates: Certificates) -> None:
        with handshake(server.port, certificates.context()) as secure:
            assert secure.version() == "TLSv1.3"
        with pytest.raises(ssl.SSLError), socket.create_connection(("127.0.0.1", server.port), 10) as raw:
            certificates.context(newest=ssl.TLSVersion.TLSv1_2).wrap_socket(raw, server_hostname="localhost")

    def test_plain_http_gets_no_answer(self, server: AdmissionServer, certificates: Certificates) -> None:
        plain = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        with pytest.raises((http.client.HTTPException, OSError)):
            plain.request("GET", "/livez")
            plain.getresponse()
        plain.close()
        assert ask(server.port, certificates.context())[0] == 200

    def test_a_silent_client_holds_nobody_up(self, certificates: Certificates) -> None:
        """The handshake runs in a worker: in the acceptor one silent client would stop the whole server."""
        patient = ServerOptions(host="127.0.0.1", port=0, threads=4, drain_seconds=0, idle_seconds=60, stop_seconds=1)
        with (
            service(FakeRegistry()) as asked,
            AdmissionServer(application(asked), tls=certificates.files(), options=patient) as made,
        ):
            silent = [socket.create_connection(("127.0.0.1", made.port), 10) for _ in range(patient.threads - 1)]
            try:
                assert ask(made.port, certificates.context())[0] == 200
            finally:
                for one in silent:
                    one.close()

    def test_many_requests_on_one_connection(self, server: AdmissionServer, certificates: Certificates) -> None:
        connection = http.client.HTTPSConnection("localhost", server.port, context=certificates.context(), timeout=10)
        for _ in range(5):
            connection.request("POST", "/v1/kyverno", BODY, {"Content-Type": "application/json"})
            assert json.loads(connection.getresponse().read())["allowed"] is True
        connection.close()

    def test_an_oversized_body_is_refused_unread(self, certificates: Certificates) -> None:
        with service(FakeRegistry()) as asked:
            app = application(asked, body_bytes=1000)
            with (
                AdmissionServer(app, tls=certificates.files(), options=OPTIONS) as small,
                handshake(small.port, certificates.context()) as secure,
            ):
                secure.sendall(
                    b"POST /v1/kyverno HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                    b"Content-Length: 1000000000\r\n\r\n"
                )
                assert b" 413 " in secure.recv(200)

    def test_renewed_certificates_are_used_without_a_restart(self, tmp_path: Path) -> None:
        own = Certificates(tmp_path)
        with (
            service(FakeRegistry()) as asked,
            AdmissionServer(application(asked), tls=own.files(), options=OPTIONS) as made,
        ):

            def serial() -> Any:
                with handshake(made.port, own.context()) as secure:
                    return (secure.getpeercert() or {})["serialNumber"]

            first = serial()
            (tmp_path / "cert.pem").write_text("half written")
            assert serial() == first
            own.renew()
            assert serial() != first

    def test_files_that_cannot_be_used(self, tmp_path: Path, certificates: Certificates) -> None:
        other = Certificates(tmp_path)
        for files in (
            TlsFiles(certificate=tmp_path / "missing.pem", key=tmp_path / "key.pem"),
            TlsFiles(certificate=certificates.folder / "cert.pem", key=other.folder / "key.pem"),
        ):
            with service(FakeRegistry()) as asked, pytest.raises(InvalidInput, match="cannot be used"):
                AdmissionServer(application(asked), tls=files, options=OPTIONS)


class TestMutualTls:
    """Gatekeeper presents a client certificate (External Data); the probes of a kubelet have none."""

    def test_with_and_without(self, mutual: AdmissionServer, certificates: Certificates) -> None:
        assert ask(mutual.port, certificates.context("client.pem"))[0] == 200
        status, body = ask(mutual.port, certificates.context())
        assert (status, json.loads(body)["allowed"]) == (403, False)
        assert ask(mutual.port, certificates.context(), "/readyz", None) == (200, b"ok")

    def test_a_certificate_of_another_ca_ends_the_handshake(
        self, mutual: AdmissionServer, certificates: Certificates
    ) -> None:
        with pytest.raises((ssl.SSLError, OSError)):
            ask(mutual.port, certificates.context("evil.pem"))


class TestStopping:
    def test_requests_under_way_are_answered(self, certificates: Certificates) -> None:
        registry = FakeRegistry()
        registry.hold = threading.Event()
        found: list[tuple[int, bytes]] = []
        with service(registry) as asked:
            made = AdmissionServer(application(asked), tls=certificates.files(), options=OPTIONS)
            made.start()
            client = threading.Thread(target=lambda: found.append(ask(made.port, certificates.context())))
            client.start()
            assert registry.entered.wait(10)
            stopping = threading.Thread(target=made.stop)
            stopping.start()
            registry.hold.set()
            client.join(10)
            stopping.join(20)
        assert not stopping.is_alive()
        assert json.loads(found[0][1])["allowed"] is True
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", made.port), 2)

    def test_draining_is_not_ready_and_still_answers(self, certificates: Certificates) -> None:
        options = ServerOptions(host="127.0.0.1", port=0, threads=4, drain_seconds=60)
        with service(FakeRegistry()) as asked:
            made = AdmissionServer(application(asked), tls=certificates.files(), options=options)
            made.start()
            assert ask(made.port, certificates.context(), "/readyz", None)[0] == 200
            made.app.readiness.ready = False
            stopping = threading.Thread(target=made.stop)
            stopping.start()
            assert ask(made.port, certificates.context(), "/readyz", None)[0] == 503
            assert ask(made.port, certificates.context())[0] == 200
            made.hurry()
            stopping.join(20)
            assert not stopping.is_alive()


CONFIG = """
registry_id = "123456789012"
region = "us-east-1"
[server]
host = "127.0.0.1"
port = 0
drain_seconds = 0
[[profiles]]
name = "all"
gate = {limits = {CRITICAL = 0}}
"""


class TestProgram:
    """`python -m ecrkit.admission`: serves, logs JSON lines, and stops on SIGTERM with 0."""

    def _environment(self) -> dict[str, str]:
        keys = {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "not-a-secret"}
        return (
            {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
            | keys
            | {"AWS_EC2_METADATA_DISABLED": "true"}
        )

    def test_serves_and_stops(self, tmp_path: Path, certificates: Certificates) -> None:
        (tmp_path / "gate.toml").write_text(CONFIG)
        folder = certificates.folder
        program = subprocess.Popen(
            [sys.executable, "-m", "ecrkit.admission", "--config", str(tmp_path / "gate.toml"), "--tls-cert",
             str(folder / "cert.pem"), "--tls-key", str(folder / "key.pem"), "--client-ca", str(folder / "ca.pem")],
            stderr=subprocess.PIPE, text=True, env=self._environment(),
        )  # fmt: skip
        try:
            assert program.stderr is not None
            line = json.loads(program.stderr.readline())
            assert (line["event"], line["tls"]) == ("serving", True)
            body = json.dumps({"images": ["nginx:1"], "namespace": "pay"}).encode()
            status, answer = ask(line["port"], certificates.context("client.pem"), body=body)
            assert (status, json.loads(answer)["allowed"]) == (200, False)
            assert ask(line["port"], certificates.context(), body=body)[0] == 403
            program.send_signal(signal.SIGTERM)
            rest = program.stderr.read()
            assert program.wait(20) == 0
        finally:
            program.kill()
            program.wait(20)
            if program.stderr is not None:
                program.stderr.close()
        events = [json.loads(text) for text in rest.splitlines()]
        assert [e["event"] for e in events] == ["denied", "a request was refused", "draining", "stopped"]
        assert "not-a-secret" not in rest

    def test_a_registry_that_never_answers_does_not_hold_up_the_end(
        self, tmp_path: Path, certificates: Certificates
    ) -> None:
        (tmp_path / "gate.toml").write_text("deadline_seconds = 0.2\n" + CONFIG)
        folder = certificates.folder
        with socket.create_server(("127.0.0.1", 0)) as silent:  # connections are taken, and nothing is said
            endpoint = {"AWS_ENDPOINT_URL_ECR": f"http://127.0.0.1:{silent.getsockname()[1]}"}
            program = subprocess.Popen(
                [sys.executable, "-m", "ecrkit.admission", "--config", str(tmp_path / "gate.toml"), "--tls-cert",
                 str(folder / "cert.pem"), "--tls-key", str(folder / "key.pem"), "--client-ca", str(folder / "ca.pem")],
                stderr=subprocess.PIPE, text=True, env=self._environment() | endpoint,
            )  # fmt: skip
            try:
                assert program.stderr is not None
                port = json.loads(program.stderr.readline())["port"]
                host = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
                for image in (f"{host}/team/app@sha256:{'a' * 64}", f"{host}/team/app:v1"):
                    body = json.dumps({"images": [image], "namespace": "pay"}).encode()
                    answer = json.loads(ask(port, certificates.context("client.pem"), body=body)[1])
                    assert answer["allowed"] is False
                silent.settimeout(10)
                with silent.accept()[0], silent.accept()[0]:  # both calls are under way
                    program.send_signal(signal.SIGTERM)
                    assert program.wait(15) == 0
                    assert '"stopped"' in program.stderr.read()
            finally:
                program.kill()
                program.wait(20)
                if program.stderr is not None:
                    program.stderr.close()

    @pytest.mark.parametrize(
        ("more", "message"), [([], "--tls-cert"), (["--tls-cert", "x", "--tls-key", "y"], "cannot be used")]
    )
    def test_bad_input_ends_with_2(
        self,
        tmp_path: Path,
        more: list[str],
        message: str,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        from ecrkit.admission.__main__ import main

        for name, value in self._environment().items():
            monkeypatch.setenv(name, value)
        (tmp_path / "gate.toml").write_text(CONFIG)
        assert main(["--config", str(tmp_path / "gate.toml"), "--check", *more[:2]]) == (2 if more else 0)
        assert main(["--config", str(tmp_path / "gate.toml"), *more]) == 2
        assert message in capsys.readouterr().err
        assert main(["--config", str(tmp_path / "missing.toml")]) == 2


class TestSettings:
    def test_options(self) -> None:
        with pytest.raises(InvalidInput) as fault:
            ServerOptions(port=70000, threads=0)
        assert len(fault.value.problems) == 2

    def test_repositories_of_profiles(self) -> None:
        assert profile(repositories=["a"]).repositories == ("a",)
