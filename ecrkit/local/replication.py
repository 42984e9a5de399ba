"""How replication behaves in the embedded ECR: how long it takes to each destination, and what fails.

Without a word a replication takes `Timings.replication` (30 seconds) and succeeds. The codes of failures are the
embedded ECR's own, since AWS publishes no list: `ImageNotFound` (deleted before it was copied), `AccessDenied` (the
other account's registry policy does not allow it), `LimitExceeded`, and whatever is injected.

Example:
    >>> import datetime as dt
    >>> from ecrkit.local import Engine
    >>> from ecrkit.local.images import image, layer
    >>> engine = Engine()
    >>> rules = [{"destinations": [{"region": "eu-west-1", "registryId": engine.account}]}]
    >>> _ = engine.call("PutReplicationConfiguration", {"replicationConfiguration": {"rules": rules}})
    >>> _ = engine.call("CreateRepository", {"repositoryName": "app"})
    >>> engine.replication.delay(dt.timedelta(minutes=3), region="eu-west-1")
    >>> digest = image([layer({"app": "1"})]).push(engine, "app", "v1")
    >>> asked = {"repositoryName": "app", "imageId": {"imageTag": "v1"}}
    >>> engine.call("DescribeImageReplicationStatus", asked)["replicationStatuses"][0]["status"]
    'IN_PROGRESS'
    >>> _ = engine.advance(dt.timedelta(minutes=3))
    >>> engine.call("DescribeImages", {"repositoryName": "app"}, region="eu-west-1")["imageDetails"][0]["imageTags"]
    ['v1']
"""

from __future__ import annotations

import datetime as dt
from typing import Final

import attrs

from ecrkit.errors import InvalidInput

__all__ = ["Journey", "ReplicationBehaviour"]

_ANY: Final = None


@attrs.frozen(kw_only=True)
class Journey:
    """One replication on its way: what goes where. `account` and `region` are the destination's."""

    account: str
    region: str
    repository: str
    digest: str


@attrs.frozen(kw_only=True)
class _Which:
    account: str | None
    region: str | None
    repository: str | None
    digest: str | None

    def fits(self, journey: Journey) -> bool:
        return (
            self.account in (_ANY, journey.account)
            and self.region in (_ANY, journey.region)
            and self.repository in (_ANY, journey.repository)
            and self.digest in (_ANY, journey.digest)
        )


@attrs.define
class _Failure:
    which: _Which
    code: str
    left: int | None


class ReplicationBehaviour:
    """Delays and failures of an engine's replications; `Engine.replication`. What was said last wins.

    Every name that is not given stands for all: `delay(d, region="eu-west-1")` is for every account and image there.
    """

    def __init__(self) -> None:
        self._delays: list[tuple[_Which, dt.timedelta | None]] = []
        self._failures: list[_Failure] = []

    def delay(
        self,
        delay: dt.timedelta | None,
        *,
        region: str | None = None,
        account: str | None = None,
        repository: str | None = None,
        digest: str | None = None,
    ) -> None:
        """Say how long replications that begin from now on take; None keeps them in progress for ever.

        Raises:
            InvalidInput: the delay is negative.
        """
        if delay is not None and delay < dt.timedelta(0):
            raise InvalidInput.single("no delay of replication", "delay", f"must not be negative, not {delay}")
        which = _Which(account=account, region=region, repository=repository, digest=digest)
        self._delays.append((which, delay))

    def fail(
        self,
        code: str,
        *,
        region: str | None = None,
        account: str | None = None,
        repository: str | None = None,
        digest: str | None = None,
        times: int | None = None,
    ) -> None:
        """Let replications end as FAILED with that code, also those on their way: the next `times`, or all of them.

        Raises:
            InvalidInput: `times` is less than 1.
        """
        if times is not None and times < 1:
            raise InvalidInput.single("no failure of replication", "times", f"must be at least 1, not {times}")
        which = _Which(account=account, region=region, repository=repository, digest=digest)
        self._failures.append(_Failure(which, code, times))

    def clear(self) -> None:
        """Forget every delay and failure."""
        self._delays.clear()
        self._failures.clear()

    def delay_of(self, journey: Journey, *, default: dt.timedelta) -> dt.timedelta | None:
        """Return how long a replication takes, None for one that never ends."""
        for which, delay in reversed(self._delays):
            if which.fits(journey):
                return delay
        return default

    def take_failure(self, journey: Journey) -> str | None:
        """Return the code that a replication ends with, and count it; None when it succeeds."""
        for failure in reversed(self._failures):
            if failure.which.fits(journey) and failure.left != 0:
                if failure.left is not None:
                    failure.left -= 1
                return failure.code
        return None
