"""The embedded ECR itself: takes calls, keeps registries, and does what is due when time passes."""

from __future__ import annotations

import datetime as dt
import hashlib
import heapq
import itertools
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import attrs

from ecrkit.local.clock import ManualClock
from ecrkit.local.events import Call, Event
from ecrkit.local.faults import ServiceFault, refuse
from ecrkit.local.operations import Handler, handlers, reactions
from ecrkit.local.pull_through import PullThroughBehaviour
from ecrkit.local.registry import RegistryState
from ecrkit.local.replication import ReplicationBehaviour
from ecrkit.local.state import ImageState, RepositoryState
from ecrkit.local.validation import service_model, validate_request
from ecrkit.ports import Clock

if TYPE_CHECKING:
    from ecrkit.local.enforcement import Enforcement, PrincipalLike

__all__ = ["Engine", "Limits", "OperationState", "Timings", "operation_table"]

DetailHook = Callable[[RegistryState, RepositoryState, ImageState], Mapping[str, Any]]
"""Adds members to an image's DescribeImages item; the way a scan domain brings its status."""


@attrs.frozen(kw_only=True)
class Timings:
    """How long the embedded ECR takes for what ECR does later. The documented bounds are in brackets.

    A lifecycle policy first runs `lifecycle_after` its put and then every `lifecycle_every` (within 24 hours after an
    image meets the criteria); referrers follow a deleted or archived subject after `referrer_sweep` (within 24
    hours); a restore takes `restore` (up to 20 minutes); a preview takes `preview` and is kept `preview_kept` (both
    not documented); a token lives `token` (12 hours); a download URL `download_url` (3,600 seconds); a layer that no
    image uses any more is kept `orphan_layer` ("may be cleaned up at any time"); the time of a pull is recorded again
    after `pull_refresh` (at least once per 24 hours). A basic scan takes `basic_scan` and the first enhanced one
    `enhanced_scan` (both not documented); continuous scanning ends `scan_duration` after the last push and pull (14
    days unless Inspector is told otherwise). A replication takes `replication` unless its destination was given a
    delay of its own (`ecrkit.local.replication`; most within 30 minutes); a backfill prepares for `backfill_prepare`
    and is listed `backfill_kept` (90 days).
    """

    lifecycle_after: dt.timedelta = dt.timedelta(hours=1)
    lifecycle_every: dt.timedelta = dt.timedelta(hours=24)
    referrer_sweep: dt.timedelta = dt.timedelta(hours=1)
    restore: dt.timedelta = dt.timedelta(minutes=20)
    preview: dt.timedelta = dt.timedelta(seconds=10)
    preview_kept: dt.timedelta = dt.timedelta(hours=24)
    token: dt.timedelta = dt.timedelta(hours=12)
    download_url: dt.timedelta = dt.timedelta(seconds=3600)
    orphan_layer: dt.timedelta = dt.timedelta(hours=24)
    pull_refresh: dt.timedelta = dt.timedelta(hours=24)
    basic_scan: dt.timedelta = dt.timedelta(seconds=10)
    enhanced_scan: dt.timedelta = dt.timedelta(seconds=30)
    scan_duration: dt.timedelta = dt.timedelta(days=14)
    replication: dt.timedelta = dt.timedelta(seconds=30)
    backfill_prepare: dt.timedelta = dt.timedelta(seconds=60)
    backfill_kept: dt.timedelta = dt.timedelta(days=90)


@attrs.frozen(kw_only=True)
class Limits:
    """The quotas that answer LimitExceededException or TooManyTagsException (ECR user guide, service quotas)."""

    repositories: int = 100_000
    images_per_repository: int = 100_000
    tags_per_image: int = 1_000
    tags_per_resource: int = 50
    layer_parts: int = 4_200
    basic_scans_per_day: int = 100_000
    replication_destinations: int = 25
    replication_backfills: int = 10
    repository_creation_templates: int = 50


@attrs.frozen(kw_only=True)
class _Secret:
    account: str
    region: str
    caller: str
    expires_at: dt.datetime
    repository: str = ""
    digest: str = ""


@attrs.frozen(order=True)
class _Due:
    at: dt.datetime
    number: int
    task: Callable[[dt.datetime], None] = attrs.field(order=False)


def _without_bulk(params: Mapping[str, Any]) -> dict[str, Any]:
    # The log lives as long as the engine; it must not keep every layer part and manifest ever sent.
    return {k: v for k, v in params.items() if not isinstance(v, bytes | bytearray) and k != "imageManifest"}


class Engine:
    """An ECR in memory: every account and region, content-addressed, on an injected clock. Thread-safe.

    `call` runs one operation with Python-native parameters. Clients reach it through `ecrkit.local.attach` or
    `ecrkit.local.client`. Time stands still on the default `ManualClock` until `advance`.

    Args:
        clock: where time comes from; `ManualClock()` unless given.
        account: the account of calls that name none.
        region: the region of calls that name none.
        timings: how long asynchronous work takes.
        limits: the quotas to enforce.
        principals: who may call, by name, with their policies; every call is then decided by them (see `enforce`).

    Example:
        >>> engine = Engine()
        >>> made = engine.call("CreateRepository", {"repositoryName": "team/app"})
        >>> made["repository"]["repositoryUri"]
        '123456789012.dkr.ecr.us-east-1.amazonaws.com/team/app'
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        account: str = "123456789012",
        region: str = "us-east-1",
        timings: Timings | None = None,
        limits: Limits | None = None,
        principals: Mapping[str, PrincipalLike] | None = None,
    ) -> None:
        self.clock: Clock = clock or ManualClock()
        self.account = account
        self.region = region
        self.timings = timings or Timings()
        self.limits = limits or Limits()
        self.lock = threading.RLock()
        self.events: list[Event] = []
        """Everything that changed, in order; append-only."""
        self.calls: list[Call] = []
        """Every call that arrived, in order; append-only; without layer parts and manifests."""
        self.before_call: list[Callable[[Call], None]] = []
        """Hooks that run before each call and may raise `ServiceFault`: throttling, denials, injected faults."""
        self.listeners: list[Callable[[Event], None]] = []
        """Called with each event while the engine's lock is held: how scans and replication learn of a push."""
        self.image_details: list[DetailHook] = []
        self.replication = ReplicationBehaviour()
        """How long replications take, and which fail."""
        self.pull_through = PullThroughBehaviour()
        """Where the upstreams of pull-through cache rules are, and how they fail."""
        self.latency: dt.timedelta | None = None
        """Real time that each call takes, for benchmarks; calls of several threads overlap."""
        self.download_base: str | None = None
        """Where GetDownloadUrlForLayer points to; the HTTP server sets its own address."""
        self.current: Call | None = None
        """The call being run, for handlers that depend on the caller."""
        self._registries: dict[tuple[str, str], RegistryState] = {}
        self._due: list[_Due] = []
        self._numbers = itertools.count(1)
        self._passwords: dict[str, _Secret] = {}
        self._downloads: dict[str, _Secret] = {}
        self.enforcement: Enforcement | None = None
        """What decides who may do what; None lets everybody do everything."""
        if principals is not None:
            self.enforce(principals)

    def enforce(
        self,
        principals: Mapping[str, PrincipalLike] | None,
        *,
        resource_control: Mapping[str, Any] | None = None,
    ) -> None:
        """Decide every call from now on by policies: those of its caller, of the repository and of the registry.

        `principals` maps names to `LocalPrincipal`s, or to the identity policies of a role of the engine's account;
        `caller=` of a call or a client is then a name or an ARN of theirs. Calls that name no caller are the root
        user's, so that a test can prepare its registry. `resource_control` holds an account's resource control
        policies, by account. None for `principals` ends the enforcement.

        Raises:
            InvalidInput: an ARN is none of a user, role or session, or two principals share one.
        """
        if principals is None:
            self.enforcement = None
            return
        from ecrkit.local.enforcement import Enforcement

        self.enforcement = Enforcement(
            principals, account=self.account, region=self.region, resource_control=resource_control
        )

    # -- calls ----------------------------------------------------------------------------------------------------

    def call(
        self,
        operation: str,
        params: Mapping[str, Any] | None = None,
        *,
        account: str | None = None,
        region: str | None = None,
        caller: str | None = None,
    ) -> dict[str, Any]:
        """Run one ECR operation and return its output, both Python-native: aware datetimes, bytes, dictionaries.

        The request is validated as the service does it, with every problem in the message. `registryId` in the
        parameters names another registry than the caller's. Members that the model does not know are ignored.

        Raises:
            ServiceFault: what ECR would answer; UnknownOperationException for a name the installed model does not
                know, UnsupportedOperationException for an operation that the embedded ECR does not bring.
        """
        guard = self.enforcement
        if guard is not None and caller is not None:
            caller, own = guard.resolve(caller)
            account = account or own
        account, region = account or self.account, region or self.region
        call = Call(
            operation=operation,
            account=account,
            region=region,
            time=self.clock.now(),
            caller=caller or f"arn:aws:iam::{account}:root",
            params=dict(params or {}),
        )
        self.calls.append(attrs.evolve(call, params=_without_bulk(call.params)))
        if self.latency is not None:
            time.sleep(self.latency.total_seconds())
        for hook in tuple(self.before_call):
            hook(call)
        model = service_model()
        if operation not in model.operation_names:
            refuse("UnknownOperationException", f"ECR has no operation {operation}")
        validate_request(model.operation_model(operation), call.params)
        if guard is not None:
            guard.check(self, call)
        handler = handlers().get(operation)
        if handler is None:
            refuse(
                "UnsupportedOperationException",
                f"The embedded ECR does not support {operation} yet; the operation table in the documentation lists "
                "what it does",
            )
        return self._run(handler, call)

    def _run(self, handler: Handler, call: Call) -> dict[str, Any]:
        with self.lock:
            self.settle()
            outer, self.current = self.current, call
            try:
                given = {name: value for name, value in call.params.items() if value is not None}
                return handler(self, self.registry(given.get("registryId") or call.account, call.region), given)
            finally:
                self.current = outer

    def registry(self, account: str | None = None, region: str | None = None) -> RegistryState:
        """Return the registry of an account in a region; it comes into being when first asked for."""
        key = (account or self.account, region or self.region)
        with self.lock:
            found = self._registries.get(key)
            if found is None:
                found = self._registries[key] = RegistryState(self, *key)
            return found

    def registries(self) -> tuple[RegistryState, ...]:
        """Return every registry that came into being."""
        with self.lock:
            return tuple(self._registries.values())

    def reset(self) -> None:
        """Forget everything: registries, tokens, events, calls and due work. Clock and hooks stay."""
        with self.lock:
            for store in (self._registries, self._passwords, self._downloads):
                store.clear()
            self._due.clear()
            self.events.clear()
            self.calls.clear()

    def emit(self, event: Event) -> None:
        """Record an event, do what follows from it in ECR itself, and tell the listeners."""
        self.events.append(event)
        for react in reactions():
            react(self, event)
        for listener in tuple(self.listeners):
            listener(event)

    # -- time -----------------------------------------------------------------------------------------------------

    def schedule(self, at: dt.datetime, task: Callable[[dt.datetime], None]) -> None:
        """Run `task(at)` as soon as the clock has reached `at`. The task must take the time from its argument."""
        with self.lock:
            heapq.heappush(self._due, _Due(at, next(self._numbers), task))

    def settle(self) -> None:
        """Do what is due by now, in order of time. Each call does this first."""
        with self.lock:
            while self._due and self._due[0].at <= self.clock.now():
                due = heapq.heappop(self._due)
                due.task(due.at)

    def advance(self, by: dt.timedelta) -> dt.datetime:
        """Move the clock forward, do everything that falls due on the way, and return the new time.

        Raises:
            TypeError: the clock is one that runs by itself.
        """
        if not isinstance(self.clock, ManualClock):
            raise TypeError("only a ManualClock can be advanced; this engine runs on a clock of its own")
        with self.lock:
            self.clock.advance(by)
            self.settle()
            return self.clock.now()

    # -- secrets --------------------------------------------------------------------------------------------------

    def _secret(self, kind: str) -> str:
        # Deterministic on purpose: golden outputs stay equal. It guards a registry that lives in this process only.
        return hashlib.sha256(f"{kind}/{self.account}/{self.region}/{next(self._numbers)}".encode()).hexdigest()

    def issue_token(
        self, account: str | None = None, region: str | None = None, *, caller: str | None = None
    ) -> tuple[str, dt.datetime]:
        """Return a registry password, without a colon, and the time it expires: 12 hours from now."""
        with self.lock:
            account = account or self.account
            expires = self.clock.now() + self.timings.token
            password = self._secret("token")
            self._passwords[password] = _Secret(
                account=account,
                region=region or self.region,
                caller=caller or f"arn:aws:iam::{account}:root",
                expires_at=expires,
            )
            return password, expires

    def _valid(self, password: str, region: str | None) -> _Secret | None:
        found = self._passwords.get(password)
        if found is None or self.clock.now() >= found.expires_at or (region is not None and region != found.region):
            return None
        return found

    def check_password(self, password: str, *, region: str | None = None) -> str | None:
        """Return the account a password was issued to; None when unknown, expired, or of another region."""
        with self.lock:
            found = self._valid(password, region)
            return None if found is None else found.account

    def password_caller(self, password: str) -> str | None:
        """Return the ARN of the principal a valid password was issued to, or None."""
        with self.lock:
            found = self._valid(password, None)
            return None if found is None else found.caller

    def issued_token(self, password: str) -> tuple[str, str, str, bool] | None:
        """Return account, region, caller of a password and whether it has expired; None when never issued."""
        with self.lock:
            found = self._passwords.get(password)
            if found is None:
                return None
            return found.account, found.region, found.caller, self.clock.now() >= found.expires_at

    def download_url(self, registry: RegistryState, repository: str, digest: str) -> str:
        """Return a URL for a layer, valid for an hour. The token in its query is all the authority it needs."""
        with self.lock:
            token = self._secret("download")
            self._downloads[token] = _Secret(
                account=registry.account,
                region=registry.region,
                caller="",
                expires_at=self.clock.now() + self.timings.download_url,
                repository=repository,
                digest=digest,
            )
            base = self.download_base or f"https://{registry.host}"
            return f"{base}/layers/{digest}?token={token}"

    def fetch(self, url: str) -> bytes:
        """Return the bytes behind a URL of GetDownloadUrlForLayer.

        In process nothing listens at that address; the HTTP server calls this with the request's path and query.

        Raises:
            ServiceFault: AccessDenied (403) for an unknown or expired token, LayersNotFoundException (404) when the
                layer has gone or only its size is known.
        """
        with self.lock:
            token = (parse_qs(urlsplit(url).query).get("token") or [""])[0]
            found = self._downloads.get(token)
            if found is None or self.clock.now() >= found.expires_at:
                raise ServiceFault("AccessDenied", "the download URL is unknown or has expired", 403)
            repo = self.registry(found.account, found.region).repositories.get(found.repository)
            blob = None if repo is None else repo.blobs.get(found.digest)
            if blob is None or blob.data is None:
                raise ServiceFault("LayersNotFoundException", f"there are no bytes of layer {found.digest}", 404)
            return blob.data


@attrs.frozen(kw_only=True)
class OperationState:
    """One row of the operation table: `state` is `supported` or `answers UnsupportedOperationException`."""

    operation: str
    state: str
    note: str


def operation_table() -> tuple[OperationState, ...]:
    """Return one row per operation of the installed botocore model, sorted by name.

    Example:
        >>> {row.operation: row.state for row in operation_table()}["PutImage"]
        'supported'
    """
    table = handlers()
    return tuple(
        OperationState(
            operation=name,
            state="supported" if name in table else "answers UnsupportedOperationException",
            note=(table[name].__doc__ or "").strip().split("\n")[0] if name in table else "",
        )
        for name in sorted(service_model().operation_names)
    )
