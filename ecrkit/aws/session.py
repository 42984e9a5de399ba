"""Opening clients: one session, one client a service, everything explicit that botocore would otherwise guess.

Clients may be shared between threads; sessions may not, and creating clients races (boto3 guide, "Multithreading or
multiprocessing with clients"). So the named services get their client in the constructor, and any later one under a
lock.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Final, cast

import boto3
import botocore.session
from botocore.client import BaseClient
from botocore.config import Config
from botocore.exceptions import BotoCoreError
from typing_extensions import override

from ecrkit._internal.clock import SystemClock
from ecrkit._version import __version__
from ecrkit.aws import fast_parser as fast
from ecrkit.aws.calls import Attempts, Caller
from ecrkit.aws.faults import error_from, scrubbed
from ecrkit.aws.pacing import PUBLISHED_RATES, Pacers
from ecrkit.errors import InvalidInput, Problem
from ecrkit.ports import Clock

__all__ = ["AwsSession", "client_config", "offline_session"]

_CONNECT_TIMEOUT: Final = 10.0
_READ_TIMEOUT: Final = 60.0


def client_config(*, workers: int) -> Config:
    """Return the configuration of every client that ecrkit makes.

    Retries are set and not inherited, since botocore's default changed between releases: one attempt, because
    `Caller` repeats calls itself and two layers would multiply. A connection stands ready for every worker.
    """
    return Config(
        retries={"mode": "standard", "total_max_attempts": 1},
        max_pool_connections=workers,
        user_agent_extra=f"ecrkit/{__version__}",
        connect_timeout=_CONNECT_TIMEOUT,
        read_timeout=_READ_TIMEOUT,
    )


def offline_session(region: str) -> boto3.Session:
    """Return a session with made-up credentials, which reads no profile and no file of the user and opens nothing."""
    nowhere = (None, None, os.devnull, None)
    core = botocore.session.Session(
        {"profile": (None, None, None, None), "config_file": nowhere, "credentials_file": nowhere}
    )
    return boto3.Session(
        aws_access_key_id="embedded",
        aws_secret_access_key="embedded",  # noqa: S106 - no secret: it opens nothing
        region_name=region,
        botocore_session=core,
    )


class AwsSession:
    """The clients and callers of one account and Region. Threads may share it.

    `workers` is how many calls may run at a time, `attempts` how often a call is tried in all. `endpoint_url` is one
    URL for every service, or a mapping from service to URL. `rates` are the calls a second to start from, by
    `service:Operation`; an empty mapping starts without limits.
    """

    def __init__(
        self,
        session: boto3.Session | None = None,
        *,
        region: str | None = None,
        endpoint_url: str | Mapping[str, str] | None = None,
        services: Iterable[str] = ("ecr",),
        workers: int = 8,
        attempts: int = 10,
        fast_parser: bool = True,
        clock: Clock | None = None,
        rates: Mapping[str, float] = PUBLISHED_RATES,
    ) -> None:
        problems = [
            Problem(name, f"must be at least 1, not {value!r}")
            for name, value in (("workers", workers), ("attempts", attempts))
            if value < 1
        ]
        if problems:
            raise InvalidInput("no AWS session", problems)
        self.workers = workers
        self.clock: Clock = clock if clock is not None else SystemClock()
        self._endpoint_url = endpoint_url
        self._fast_parser = fast_parser
        self._attempts = Attempts(total=attempts)
        self._pacers = Pacers(self.clock, rates=rates)
        self._config = client_config(workers=workers)
        self._lock = threading.Lock()
        self._callers: dict[str, Caller] = {}
        try:
            self._session = session if session is not None else boto3.Session(region_name=region)
        except BotoCoreError as error:
            raise error_from(error, service="aws", operation="open a session") from scrubbed(error)
        found = region or self._session.region_name
        if not found:
            raise InvalidInput.single(
                "no AWS session", "region", "is not set: pass region=..., or set AWS_REGION or the profile's region"
            )
        self.region: str = found
        for service in dict.fromkeys(services):
            self.caller(service)

    def caller(self, service: str) -> Caller:
        """Return the caller of a service, always the same one; it is made now if the constructor did not name it.

        Raises:
            InvalidInput: botocore knows no such service, or no endpoint for it in this Region.
        """
        found = self._callers.get(service)
        if found is not None:
            return found
        with self._lock:
            if service not in self._callers:
                self._callers[service] = Caller(
                    self._open(service), clock=self.clock, pacers=self._pacers, attempts=self._attempts
                )
            return self._callers[service]

    def client(self, service: str) -> BaseClient:
        """Return the botocore client of a service. It tries every call once and is not paced; prefer `caller`."""
        return self.caller(service).client

    def in_region(self, region: str) -> AwsSession:
        """Return a session with the same credentials and settings in another Region; it is closed by itself.

        It has no client before one is asked for.
        """
        made = AwsSession(
            self._session,
            region=region,
            endpoint_url=self._endpoint_url,
            services=(),
            workers=self.workers,
            attempts=self._attempts.total,
            fast_parser=self._fast_parser,
            clock=self.clock,
        )
        made._lock = self._lock  # both make clients from one boto3 session, which must not happen at once
        return made

    def _open(self, service: str) -> BaseClient:
        url = self._endpoint_url
        if isinstance(url, Mapping):
            url = url.get(service)
        try:
            # The stubs of boto3 know only literal service names.
            make = cast("Callable[..., BaseClient]", self._session.client)
            made = make(service, region_name=self.region, endpoint_url=url, config=self._config)
        except (BotoCoreError, ValueError) as error:
            raise InvalidInput.single("no AWS client", service, str(error)) from error
        if self._fast_parser:
            fast.install(made)
        return made

    def learned_rates(self) -> dict[str, float | None]:
        """Return calls a second by `service:Operation`, as learned from throttles; None where no limit is known."""
        return self._pacers.rates()

    def close(self) -> None:
        """Close every client."""
        for caller in self._callers.values():
            caller.close()

    @override
    def __repr__(self) -> str:
        return f"<AwsSession {self.region}: {', '.join(sorted(self._callers))}; {self.workers} workers>"
