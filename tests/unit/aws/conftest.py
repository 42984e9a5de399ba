"""A caller whose answers a test gives, and a clock that nobody waits for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ecrkit.aws.calls import Attempts, Caller
from ecrkit.aws.session import AwsSession, offline_session
from ecrkit.local import Engine, ManualClock, attach


def client_error(
    code: str, message: str = "told", *, status: int = 400, operation: str = "DescribeImages"
) -> ClientError:
    return ClientError(
        {
            "Error": {"Code": code, "Message": message},
            "ResponseMetadata": {"HTTPStatusCode": status, "RequestId": "req-1"},
        },
        operation,
    )


class Script:
    """Answers calls from a function `(operation, parameters) -> answer or exception`, and remembers them."""

    def __init__(self, answer: Callable[[str, dict[str, Any]], Any]) -> None:
        self.answer = answer
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def install(self, client: Any) -> None:
        def make_api_call(operation: str, parameters: dict[str, Any]) -> Any:
            self.calls.append((operation, parameters))
            found = self.answer(operation, parameters)
            if isinstance(found, BaseException):
                raise found
            return found

        client._make_api_call = make_api_call

    @property
    def operations(self) -> list[str]:
        return [name for name, _ in self.calls]


@pytest.fixture(scope="session")
def shared_session() -> AwsSession:
    return AwsSession(offline_session("eu-west-1"), workers=1)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def scripted(shared_session: AwsSession, clock: ManualClock) -> Iterator[Callable[..., tuple[Caller, Script]]]:
    # Making a client takes longer than most tests, so they share one; each script replaces the one before.
    client = shared_session.client("ecr")

    def make(answer: Callable[[str, dict[str, Any]], Any], *, attempts: int = 4) -> tuple[Caller, Script]:
        script = Script(answer)
        script.install(client)
        caller = Caller(client, clock=clock, attempts=Attempts(total=attempts), draw=lambda: 1.0)
        return caller, script

    yield make
    client.__dict__.pop("_make_api_call", None)


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def embedded(engine: Engine) -> AwsSession:
    session = AwsSession(offline_session("us-east-1"), workers=4, clock=engine.clock, rates={})
    attach(session.client("ecr"), engine)
    return session
