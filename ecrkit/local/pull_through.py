"""The pull-through cache of the embedded ECR: where upstreams are, what is fetched when, what fails.

An upstream is another registry of an engine, or any callable. A registry of the same engine is found by its host
without a word; every other upstream must be named, since nothing here reaches the network.

Source: ECR user guide, "Sync an upstream registry with an Amazon ECR private registry": an image is fetched when it is
first pulled, a tag is looked up again at most once in 24 hours, and the cached image is served when that fails. That an
index is cached with all its images at once is the embedded ECR's own way; AWS does not document it.

Example:
    >>> from ecrkit.local import Engine
    >>> from ecrkit.local.images import image, layer
    >>> hub, engine = Engine(account="111111111111"), Engine()
    >>> _ = hub.call("CreateRepository", {"repositoryName": "docker/library/node"})
    >>> digest = image([layer({"app": "1"})]).push(hub, "docker/library/node", "20")
    >>> engine.pull_through.connect("public.ecr.aws", hub)
    >>> _ = engine.call("CreatePullThroughCacheRule", {
    ...     "ecrRepositoryPrefix": "public", "upstreamRegistryUrl": "public.ecr.aws"})
    >>> pulled = engine.call("BatchGetImage", {
    ...     "repositoryName": "public/docker/library/node", "imageIds": [{"imageTag": "20"}]})
    >>> pulled["images"][0]["imageId"]["imageDigest"] == digest
    True
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import attrs

from ecrkit.local.events import Call, PullThroughSynced
from ecrkit.local.faults import ServiceFault
from ecrkit.local.manifests import ParsedManifest, parse_manifest
from ecrkit.local.templates import apply_template
from ecrkit.refs import RegistryHost

if TYPE_CHECKING:
    from ecrkit.local.engine import Engine
    from ecrkit.local.registry import RegistryState

__all__ = [
    "Fetch",
    "FetchedManifest",
    "PullThroughBehaviour",
    "UpstreamFault",
    "import_missing",
    "rules_of",
    "upstream_state",
]

ROOT: Final = "ROOT"
_RULES: Final = "pull_through_rules"
_CHECKED: Final = "pull_through_checked"
UpstreamFault = Literal["UpstreamAccessDenied", "UpstreamTooManyRequests", "UpstreamUnavailable"]
"""How an upstream fails: the failure codes of BatchGetImage (ECR API reference, ImageFailure)."""

_REASONS: Final[dict[str, str]] = {
    "UpstreamAccessDenied": "The authentication to the upstream registry failed. Verify the credentials and try again.",
    "UpstreamTooManyRequests": "The upstream registry refused the request: too many requests.",
    "UpstreamUnavailable": "The upstream registry cannot be reached.",
}


@attrs.frozen
class FetchedManifest:
    """A manifest as an upstream gave it."""

    text: str
    media_type: str | None = None


Fetch: TypeAlias = "Callable[[Literal['manifest', 'blob'], str, str], FetchedManifest | bytes | None]"
"""Gets a manifest (by tag or digest) or a blob of a repository; None when there is none."""


@attrs.define
class _Outage:
    code: UpstreamFault
    left: int | None


class _Failed(Exception):
    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class PullThroughBehaviour:
    """The upstreams of an engine: where they are, which secrets they take, how they fail; `Engine.pull_through`."""

    def __init__(self) -> None:
        self._upstreams: dict[str, Fetch] = {}
        self._outages: dict[str, list[_Outage]] = {}
        self._missing_secrets: dict[str, str] = {}
        self._bad_secrets: set[str] = set()
        self.fresh_for = dt.timedelta(hours=24)
        """How long a cached tag is served without a look at the upstream."""
        self.fetched: list[tuple[str, str, str, str]] = []
        """Everything asked of upstreams, in order: kind, host, repository, and tag or digest."""

    def connect(self, host: str, upstream: Engine | RegistryState | Fetch) -> None:
        """Say where an upstream is, by the URL that a rule names: an engine, one of its registries, or a callable."""
        from ecrkit.local.engine import Engine  # which imports this module

        if callable(upstream):
            self._upstreams[host] = upstream
        else:
            self._upstreams[host] = _from_registry(upstream.registry() if isinstance(upstream, Engine) else upstream)

    def fail(self, host: str, code: UpstreamFault, *, times: int | None = None) -> None:
        """Let the next requests to an upstream fail, or all until `recover` when `times` is None."""
        self._outages.setdefault(host, []).append(_Outage(code, times))

    def recover(self, host: str) -> None:
        """End the failures of an upstream."""
        self._outages.pop(host, None)

    def lose_secret(self, arn: str, code: str = "SecretNotFoundException") -> None:
        """Let a secret be missing; `code` may be UnableToAccessSecretException or another error of secrets."""
        self._missing_secrets[arn] = code

    def reject_secret(self, arn: str) -> None:
        """Let upstreams refuse the credentials of a secret."""
        self._bad_secrets.add(arn)

    def secret_fault(self, arn: str | None) -> str | None:
        """Return the code of what is wrong with reading a secret, or None."""
        return None if arn is None else self._missing_secrets.get(arn)

    def refusal(self, host: str, arn: str | None) -> str | None:
        """Return the code by which the upstream refuses now, or None; counts as one request."""
        if arn is not None and (arn in self._bad_secrets or arn in self._missing_secrets):
            return "UpstreamAccessDenied"
        outages = self._outages.get(host, [])
        while outages:
            outage = outages[0]
            if outage.left is None:
                return outage.code
            outage.left -= 1
            if outage.left <= 0:
                outages.pop(0)
            return outage.code
        return None

    def reachable(self, engine: Engine, host: str) -> bool:
        """Return whether anything answers at that host."""
        return self._upstream(engine, host) is not None

    def _upstream(self, engine: Engine, host: str) -> Fetch | None:
        found = self._upstreams.get(host)
        if found is not None:
            return found
        try:
            parsed = RegistryHost.parse(host)
        except ValueError:
            return None
        if parsed.account is None or parsed.region is None:
            return None
        return _from_registry(engine.registry(parsed.account, parsed.region))

    def ask(
        self, engine: Engine, rule: dict[str, Any], kind: Literal["manifest", "blob"], repository: str, name: str
    ) -> FetchedManifest | bytes | None:
        """Return what the upstream of a rule answers; a failure is an exception of this module."""
        host = rule["upstreamRegistryUrl"]
        self.fetched.append((kind, host, repository, name))
        code = self.refusal(host, rule.get("credentialArn"))
        fetch = self._upstream(engine, host)
        if code is not None or fetch is None:
            raise _Failed(code or "UpstreamUnavailable")
        return fetch(kind, repository, name)


def _from_registry(registry: RegistryState) -> Fetch:
    def fetch(kind: Literal["manifest", "blob"], repository: str, name: str) -> FetchedManifest | bytes | None:
        with registry.engine.lock:
            registry.engine.settle()
            repo = registry.repositories.get(repository)
            if repo is None:
                return None
            if kind == "blob":
                blob = repo.blobs.get(name)
                return None if blob is None else blob.data
            found = repo.images.get(name if ":" in name else repo.tag_to_digest.get(name, ""))
            if found is None or found.status != "ACTIVE":
                return None
            return FetchedManifest(found.manifest.text, found.manifest.media_type)

    return fetch


def rules_of(registry: RegistryState) -> dict[str, dict[str, Any]]:
    """Return the registry's rules by prefix without `/` at the end; the mapping is the registry's own."""
    found: dict[str, dict[str, Any]] = registry.extra.setdefault(_RULES, {})
    return found


def _rule_for(registry: RegistryState, repository: str) -> tuple[dict[str, Any], str] | None:
    """Return the rule with the longest prefix, and the repository's name at the upstream."""
    fitting = [
        (len(key) if key != ROOT else -1, key)
        for key in rules_of(registry)
        if key == ROOT or repository.startswith(f"{key}/")
    ]
    if not fitting:
        return None
    rule = rules_of(registry)[max(fitting)[1]]
    local, remote = (
        "" if prefix == ROOT else prefix.removesuffix("/") + "/"
        for prefix in (rule["ecrRepositoryPrefix"], rule["upstreamRepositoryPrefix"])
    )
    return rule, remote + repository[len(local) :]


def upstream_state(engine: Engine, rule: dict[str, Any]) -> tuple[bool, str | None]:
    """Return whether the upstream takes the rule's credentials, and why not."""
    behaviour, host = engine.pull_through, rule["upstreamRegistryUrl"]
    missing = behaviour.secret_fault(rule.get("credentialArn"))
    if missing is not None:
        return False, f"The secret cannot be read: {missing}"
    code = behaviour.refusal(host, rule.get("credentialArn"))
    if code is None and not behaviour.reachable(engine, host):
        code = "UpstreamUnavailable"
    return code is None, None if code is None else _REASONS[code]


def import_missing(
    engine: Engine, registry: RegistryState, repository: str, asked: list[dict[str, str]]
) -> dict[tuple[str | None, str | None], tuple[str, str]]:
    """Fetch what a pull asks for and the cache does not have, or has not looked at for a day.

    Returns the failures by digest and tag: ECR's failure code and reason. What is cached stays and is served, whatever
    the upstream does. A caller without `ecr:BatchImportUpstreamImage`, or without `ecr:CreateRepository` where the
    repository is not there, gets what is cached.
    """
    found = _rule_for(registry, repository)
    if found is None:
        return {}
    way = _Way(engine, registry, found[0], repository, found[1])
    failures: dict[tuple[str | None, str | None], tuple[str, str]] = {}
    for identity in asked:
        digest, tag = identity.get("imageDigest"), identity.get("imageTag")
        name = digest or tag
        if name is None or not _due(engine, registry, repository, digest, tag):
            continue
        if not _may(engine, registry, repository):
            continue
        cached = _cached(registry, repository, digest, tag)
        try:
            done = way.bring(name)
        except _Failed as fault:
            way.tell(tag, digest or cached, fault.code)
            if cached is None:
                failures[digest, tag] = (fault.code, _REASONS.get(fault.code, fault.code))
            continue
        except ServiceFault as fault:
            way.tell(tag, digest or cached, fault.code)
            continue
        if done is not None:
            if tag is not None:
                registry.repositories[repository].extra.setdefault(_CHECKED, {})[tag] = engine.clock.now()
            if done != cached:
                way.tell(tag, done)
    return failures


def _cached(registry: RegistryState, repository: str, digest: str | None, tag: str | None) -> str | None:
    repo = registry.repositories.get(repository)
    if repo is None:
        return None
    name = digest if digest is not None else repo.tag_to_digest.get(tag or "")
    return name if name in repo.images else None


def _due(engine: Engine, registry: RegistryState, repository: str, digest: str | None, tag: str | None) -> bool:
    if _cached(registry, repository, digest, tag) is None:
        return True
    if digest is not None or tag is None:
        return False  # what a digest names never changes
    checked = registry.repositories[repository].extra.get(_CHECKED, {}).get(tag)
    return checked is None or engine.clock.now() - checked >= engine.pull_through.fresh_for


def _may(engine: Engine, registry: RegistryState, repository: str) -> bool:
    guard, current = engine.enforcement, engine.current
    if guard is None or current is None:
        return True
    needed = ["BatchImportUpstreamImage"]
    if repository not in registry.repositories:
        needed.append("CreateRepository")
    params = {"registryId": registry.account, "repositoryName": repository}
    for operation in needed:
        call = Call(
            operation=operation, account=current.account, region=registry.region, time=current.time,
            caller=current.caller, params=params,
        )  # fmt: skip
        try:
            guard.check(engine, call)
        except ServiceFault:
            return False
    return True


@attrs.frozen
class _Way:
    """From a repository of the cache to the one at the upstream."""

    engine: Engine
    registry: RegistryState
    rule: dict[str, Any]
    repository: str
    upstream_name: str

    def manifest(self, reference: str) -> tuple[ParsedManifest, FetchedManifest] | None:
        """Return a manifest of the upstream, None when it has none; one of another digest is an outage."""
        answer = self.engine.pull_through.ask(self.engine, self.rule, "manifest", self.upstream_name, reference)
        if not isinstance(answer, FetchedManifest):
            return None
        parsed = parse_manifest(answer.text, answer.media_type)
        if ":" in reference and parsed.digest != reference:
            raise _Failed("UpstreamUnavailable")
        return parsed, answer

    def bring(self, name: str) -> str | None:
        """Bring one image with everything that it is made of; return its digest, None when the upstream has none."""
        found = self.manifest(name)
        if found is None:
            return None
        apply_template(self.engine, self.registry, self.repository, "PULL_THROUGH_CACHE")
        self._put(*found, None if ":" in name else name)
        return found[0].digest

    def _put(self, parsed: ParsedManifest, answer: FetchedManifest, tag: str | None) -> None:
        from ecrkit.local.operations.images import put_image  # which imports this module

        repo = self.registry.repositories[self.repository]
        for child in parsed.children:
            if child not in repo.images:
                inner = self.manifest(child)
                if inner is None:
                    raise _Failed("UpstreamUnavailable")
                self._put(*inner, None)
        for blob in parsed.blobs:
            if blob.required and blob.digest not in repo.blobs:
                data = self.engine.pull_through.ask(self.engine, self.rule, "blob", self.upstream_name, blob.digest)
                if not isinstance(data, bytes):
                    raise _Failed("UpstreamUnavailable")
                self.registry.put_blob(self.repository, blob.digest, data)
        request = {
            "repositoryName": self.repository, "imageManifest": answer.text, "imageTag": tag,
            "imageManifestMediaType": answer.media_type,
        }  # fmt: skip
        try:
            put_image(self.engine, self.registry, {k: v for k, v in request.items() if v is not None})
        except ServiceFault as fault:
            if fault.code != "ImageAlreadyExistsException":
                raise

    def tell(self, tag: str | None, digest: str | None, code: str | None = None) -> None:
        """Send the event of a look at the upstream."""
        self.engine.emit(
            PullThroughSynced(
                time=self.engine.clock.now(), account=self.registry.account, region=self.registry.region,
                repository=self.repository, digest=digest, tag=tag, prefix=self.rule["ecrRepositoryPrefix"],
                upstream=self.rule["upstreamRegistryUrl"], result="SUCCESS" if code is None else "FAILED",
                failure_code=code, failure_reason=None if code is None else _REASONS.get(code, code),
            )
        )  # fmt: skip
