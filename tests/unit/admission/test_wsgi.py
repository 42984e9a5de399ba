"""The WSGI application: methods, sizes, queries, probes, metrics and logs."""

from __future__ import annotations

import io
import json
import logging
from typing import Any
from wsgiref.util import is_hop_by_hop
from wsgiref.validate import validator

import pytest

from ecrkit.admission import CLIENT_CERTIFICATE, AdmissionMetrics, Application, application
from ecrkit.admission.logs import LOGGER, JsonLines, log_decision
from tests.support.admission import FakeRegistry, image, profile, service

BODY = json.dumps({"images": [image("clean")]}).encode()


def call(
    app: Application, path: str, body: bytes = b"", *, method: str = "POST", **environ: Any
) -> tuple[int, dict[str, str], bytes]:
    """Call the application as PEP 3333 has it, checked by wsgiref's validator."""
    seen: list[Any] = []
    env = {
        "REQUEST_METHOD": method, "PATH_INFO": path, "SCRIPT_NAME": "", "QUERY_STRING": "", "SERVER_NAME": "x",
        "SERVER_PORT": "1", "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.version": (1, 0), "wsgi.url_scheme": "https",
        "wsgi.input": io.BytesIO(body), "wsgi.errors": io.StringIO(), "wsgi.multithread": True,
        "wsgi.multiprocess": False, "wsgi.run_once": False,
    }  # fmt: skip
    if method == "POST":
        env |= {"CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(body))}
    env |= environ
    env = {k: v for k, v in env.items() if v is not None}

    def start(status: str, headers: list[tuple[str, str]], exc: Any = None) -> Any:
        seen.append((int(status.split()[0]), dict(headers)))
        return lambda data: None

    checked: Any = validator(app)
    answer = checked(env, start)
    content = b"".join(answer)
    answer.close()
    return seen[0][0], seen[0][1], content


@pytest.fixture
def app() -> Any:
    metrics = AdmissionMetrics()
    with service(FakeRegistry(), profile(), profile("audit", mode="audit"), observers=[metrics.decided]) as asked:
        yield application(asked, metrics=metrics, body_bytes=5000)


class TestRequests:
    def test_an_answer(self, app: Application) -> None:
        status, headers, body = call(app, "/v1/kyverno", BODY)
        assert (status, headers["Content-Type"]) == (200, "application/json")
        assert headers["Content-Length"] == str(len(body))
        assert json.loads(body)["allowed"] is True

    def test_the_profile_of_the_query(self, app: Application) -> None:
        dirty = json.dumps({"images": [image("dirty")]}).encode()
        assert json.loads(call(app, "/v1/kyverno", dirty)[2])["allowed"] is False
        found = json.loads(call(app, "/v1/kyverno", dirty, QUERY_STRING="profile=audit&timeout=10s")[2])
        assert (found["allowed"], found["images"][0]["wouldDeny"]) == (True, True)

    @pytest.mark.parametrize(
        "query", ["profil=x", "profile=", "profile=a&profile=b", "timeout=x", "timeout=-1s", "a", "&", "x" * 2000]
    )
    def test_a_query_that_is_not_known(self, app: Application, query: str) -> None:
        status, _, body = call(app, "/v1/kyverno", BODY, QUERY_STRING=query)
        assert status in (400, 414)
        assert json.loads(body)["allowed"] is False

    @pytest.mark.parametrize(
        ("environ", "status"),
        [
            ({"CONTENT_TYPE": "text/plain"}, 415), ({"CONTENT_TYPE": None}, 415), ({"CONTENT_LENGTH": None}, 411),
            ({"CONTENT_LENGTH": "x"}, 400), ({"CONTENT_LENGTH": "5001"}, 413), ({"CONTENT_LENGTH": "4999"}, 400),
            ({"CONTENT_LENGTH": "9" * 25}, 400), ({"HTTP_CONTENT_ENCODING": "gzip"}, 415),
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("path", ["/v1/kyverno", "/v1/gatekeeper", "/v1/admit"])
    def test_bodies_are_bounded_and_typed(
        self, app: Application, path: str, environ: dict[str, Any], status: int
    ) -> None:
        found, headers, body = (
            call(app, path, BODY, **environ) if environ.get("CONTENT_LENGTH") != "x" else _raw(app, path)
        )
        assert found == status
        assert not any(is_hop_by_hop(name) for name in headers)  # PEP 3333 leaves those to the server
        assert b'"allowed":true' not in body

    def test_chunked_bodies_are_bounded_too(self, app: Application) -> None:
        chunked = {"CONTENT_LENGTH": None, "HTTP_TRANSFER_ENCODING": "chunked"}
        assert call(app, "/v1/kyverno", BODY, **chunked)[0] == 200
        assert call(app, "/v1/kyverno", BODY + b" " * 5000, **chunked)[0] == 413

    @pytest.mark.parametrize("path", ["/v1/kyverno", "/v1/gatekeeper", "/v1/admit"])
    def test_other_methods(self, app: Application, path: str) -> None:
        status, headers, _ = call(app, path, method="GET")
        assert (status, headers["Allow"]) == (405, "POST")

    def test_unknown_paths(self, app: Application) -> None:
        assert call(app, "/v1/kyverno/", BODY)[0] == 404

    def test_a_client_certificate_where_wanted(self, app: Application) -> None:
        strict = application(app.service, metrics=app.metrics, certified=["kyverno"])
        assert call(strict, "/v1/kyverno", BODY)[0] == 403
        assert call(strict, "/v1/kyverno", BODY, **{CLIENT_CERTIFICATE: False})[0] == 403
        # A header that a client sends is not what the TLS layer says.
        assert call(strict, "/v1/kyverno", BODY, HTTP_ECRKIT_CLIENT_CERTIFICATE="True")[0] == 403
        assert call(strict, "/v1/kyverno", BODY, **{CLIENT_CERTIFICATE: True})[0] == 200
        assert call(strict, "/livez", method="GET")[0] == 200

    def test_a_defect_is_an_error_and_admits_nothing(self, app: Application, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(*_: object, **__: object) -> Any:
            raise ZeroDivisionError

        monkeypatch.setattr(type(app.service), "decide_all", broken)
        status, _, body = call(app, "/v1/gatekeeper", b'{"apiVersion":"externaldata.gatekeeper.sh/v1beta1",'
                               b'"kind":"ProviderRequest","request":{"keys":["a"]}}')  # fmt: skip
        assert status == 500
        assert json.loads(body)["response"]["systemError"] == "internal fault"


def _raw(app: Application, path: str) -> tuple[int, dict[str, str], bytes]:
    # wsgiref's validator itself refuses such a length.
    seen: list[Any] = []
    env = {"REQUEST_METHOD": "POST", "PATH_INFO": path, "CONTENT_TYPE": "application/json", "CONTENT_LENGTH": "x",
           "wsgi.input": io.BytesIO(BODY)}  # fmt: skip
    content = b"".join(app(env, lambda status, headers: seen.append((int(status.split()[0]), dict(headers)))))
    return seen[0][0], seen[0][1], content


class TestPages:
    @pytest.mark.parametrize("path", ["/livez", "/healthz", "/readyz"])
    def test_probes(self, app: Application, path: str) -> None:
        assert call(app, path, method="GET")[2] == b"ok"
        assert call(app, path, method="HEAD")[2] == b""
        assert call(app, path, b"x")[0] == 405

    def test_not_ready_is_still_alive(self, app: Application) -> None:
        app.readiness.ready = False
        assert call(app, "/readyz", method="GET")[0] == 503
        assert call(app, "/livez", method="GET")[0] == 200

    def test_metrics(self, app: Application) -> None:
        for _ in range(2):
            call(app, "/v1/kyverno", BODY)
        call(app, "/v1/kyverno", b"{")
        status, headers, body = call(app, "/metrics", method="GET")
        text = body.decode()
        assert status == 200
        assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
        for line in (
            'ecrkit_admission_requests_total{protocol="kyverno",status="200"} 2.0',
            'ecrkit_admission_requests_total{protocol="kyverno",status="400"} 1.0',
            'ecrkit_admission_request_seconds_count{protocol="kyverno"} 3.0',
            'ecrkit_admission_decisions_total{allowed="true",answered="registry",outcome="pass"} 1.0',
            'ecrkit_admission_decisions_total{allowed="true",answered="cache",outcome="pass"} 1.0',
            "ecrkit_admission_cached_decisions 1.0",
        ):
            assert line in text
        assert "team/app" not in text


class TestLogs:
    """Structured lines of known fields; no header, body or credential."""

    def test_a_decision(
        self, app: Application, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(LOGGER, "propagate", True)
        caplog.set_level(logging.INFO, "ecrkit.admission")
        log_decision(app.service.decide(image("dirty"), namespace="pay"), 0.25)
        line = json.loads(JsonLines().format(caplog.records[-1]))
        assert (line["event"], line["level"], line["namespace"]) == ("denied", "warning", "pay")
        assert (line["outcome"], line["allowed"], line["seconds"]) == ("fail", False, 0.25)
        assert line["vulnerabilities"] == ["CVE-2026-1", "CVE-2026-2"]

    def test_a_fault_shows_its_type_and_not_its_text(
        self, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(LOGGER, "propagate", True)
        try:
            raise ValueError("AWS_SECRET_ACCESS_KEY=abc")
        except ValueError:
            LOGGER.exception("it broke", extra={"authorization": "Bearer x"})
        text = JsonLines().format(caplog.records[-1])
        assert json.loads(text)["fault"] == "ValueError"
        assert "abc" not in text
        assert "Bearer" not in text
        assert "\n" not in text
