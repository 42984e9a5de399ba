from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Iterator
from typing import Any

import attrs
import pytest

from ecrkit.local import LocalServer, serve
from tests.support.shapes import CheckedEngine


@attrs.frozen
class Reply:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> tuple[int, str]:
        return self.status, self.document["errors"][0]["code"]


class Wire:
    """One kept-alive connection to a server, with or without a registry password."""

    def __init__(self, server: LocalServer) -> None:
        self.server = server
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        self.password = ""

    def login(self, region: str = "us-east-1") -> str:
        self.password = self.server.engine.issue_token(region=region)[0]
        return self.password

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.password:
            sent.setdefault("Authorization", "Basic " + base64.b64encode(f"AWS:{self.password}".encode()).decode())
        chunked = body is not None and not isinstance(body, bytes | str)
        self.connection.request(method, path, body=body, headers=sent, encode_chunked=chunked)
        response = self.connection.getresponse()
        return Reply(response.status, response.headers, response.read())


@pytest.fixture
def engine() -> CheckedEngine:
    made = CheckedEngine()
    made.call("CreateRepository", {"repositoryName": "team/app"})
    return made


@pytest.fixture
def server(engine: CheckedEngine) -> Iterator[LocalServer]:
    with serve(engine) as running:
        yield running


@pytest.fixture
def wire(server: LocalServer) -> Iterator[Wire]:
    made = Wire(server)
    made.login()
    yield made
    made.connection.close()
