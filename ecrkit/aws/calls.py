"""Making calls: paced, repeated where that can help, with faults mapped to the error tree.

There is one layer of retries, this one: botocore is told to try once, so attempts never multiply.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import attrs
from botocore import xform_name
from botocore.client import BaseClient
from botocore.exceptions import BotoCoreError, ClientError

from ecrkit.aws import drift
from ecrkit.aws.faults import Retry, classify, error_from, scrubbed
from ecrkit.aws.pacing import Pacers
from ecrkit.errors import EcrkitError
from ecrkit.ports import Clock, Listing

__all__ = ["Attempts", "Caller"]

T = TypeVar("T")


@attrs.frozen(kw_only=True)
class Attempts:
    """How often one call is tried in all, and how long it pauses after a failure of the service.

    `total` counts every request of a call: the first, the paced repeats after throttles, and the repeats after 5xx
    answers and broken connections. A pause is drawn at random up to `base * 2**n`, at most `longest` seconds.

    Example:
        >>> Attempts(base=1.0, longest=20.0).pause(3, drawn=0.5)
        2.0
    """

    total: int = attrs.field(default=10, validator=attrs.validators.ge(1))
    base: float = 0.5
    longest: float = 20.0

    def pause(self, failures: int, *, drawn: float) -> float:
        """Return the seconds to pause after so many failures; `drawn` is a random number from 0 to 1."""
        return float(drawn * min(self.longest, self.base * 2 ** min(failures - 1, 30)))


class Caller:
    """Calls one service. Threads may share it.

    Every gateway is built on one: `caller.call("DescribeRegistry")` gives the answer as botocore parsed it, and
    `caller.listing(...)` a lazy listing of all pages.
    """

    def __init__(
        self,
        client: BaseClient,
        *,
        clock: Clock,
        pacers: Pacers | None = None,
        attempts: Attempts | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._client = client
        self._clock = clock
        self._pacers = pacers if pacers is not None else Pacers(clock)
        self._attempts = attempts if attempts is not None else Attempts()
        self._draw = draw
        self._closed = threading.Event()
        self.service: str = drift.service_model(client).service_name

    @property
    def client(self) -> BaseClient:
        """The botocore client, for feature tests on its model."""
        return self._client

    @property
    def clock(self) -> Clock:
        """The clock that paces the calls."""
        return self._clock

    def close(self) -> None:
        """Let go of the connections; later calls raise RuntimeError."""
        self._closed.set()
        self._client.close()

    def call(self, operation: str, parameters: Mapping[str, Any], *, resource: str | None = None) -> dict[str, Any]:
        """Return the answer to one call, waiting for the operation's pace and repeating what a repeat can help.

        `resource` names in error messages what the call is about.

        Raises:
            AwsCallFailed: AWS refused the call, or failed it through every attempt; the subclass says how.
            NotSupportedByBotocore: the installed botocore does not know the operation or a request member.
        """
        drift.require_operation(self._client, operation)
        method = getattr(self._client, xform_name(operation))
        pacer = self._pacers.of(self.service, operation)
        attempt = 0
        while True:
            if self._closed.is_set():
                raise RuntimeError(f"{self.service} {operation}: this registry is closed; open a new one")
            attempt += 1
            sent_at = pacer.wait_turn()
            try:
                answer: dict[str, Any] = method(**parameters)
            except (ClientError, BotoCoreError) as error:
                retry = classify(error).retry
                if retry is Retry.PACED:
                    pacer.throttled(sent_at=sent_at)
                elif isinstance(error, ClientError):
                    pacer.passed()
                if retry is Retry.NO or attempt >= self._attempts.total:
                    raise self._fault(error, operation, resource, attempt) from scrubbed(error)
                if retry is Retry.BACKED_OFF:
                    self._clock.sleep(self._attempts.pause(attempt, drawn=self._draw()))
            else:
                pacer.passed()
                return answer

    def _fault(
        self, error: ClientError | BotoCoreError, operation: str, resource: str | None, attempt: int
    ) -> EcrkitError:
        return error_from(error, service=self.service, operation=operation, resource=resource, attempts=attempt)

    def listing(
        self,
        operation: str,
        parameters: Mapping[str, Any],
        convert: Callable[[dict[str, Any]], list[T]],
        *,
        resource: str | None = None,
        token: str = "nextToken",  # noqa: S107 - a page token, no secret
    ) -> Listing[T]:
        """Return a lazy listing of every page; `convert` turns one answer into its records.

        Nothing is called before the listing is walked, and each walk starts anew.
        """

        def fetch(after: str | None) -> tuple[list[T], str | None]:
            asked = dict(parameters) if after is None else {**parameters, token: after}
            answer = self.call(operation, asked, resource=resource)
            return convert(answer), answer.get(token)

        return Listing(fetch)
