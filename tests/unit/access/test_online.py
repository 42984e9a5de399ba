"""The online forms say what they read, what they could not, and what probes confirm."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from ecrkit.access import AccessService, Policies, PrincipalDocuments, presets
from ecrkit.access.probes import ProbedDiagnosis
from ecrkit.access.scope import Scope
from ecrkit.errors import AwsCallFailed, Denied, InvalidInput, NotFound
from ecrkit.ports import Clock
from ecrkit.records import Image, ImageFailure, LayerState, RawManifest, Repository

ME, OTHER, REGION = "111111111111", "222222222222", "eu-west-1"
ROLE = f"arn:aws:iam::{ME}:role/node"
MINE = f"{ME}.dkr.ecr.{REGION}.amazonaws.com/app:v1"
THEIRS = f"{OTHER}.dkr.ecr.{REGION}.amazonaws.com/app:v1"
PULL = presets.pull(Scope(ME, REGION))
PULL_ALL = presets.pull(Scope("1" * 12, REGION)).to_json().replace(f":{ME}:", ":*:")
OPEN = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"ecr:*"}]}'
FOR_ROLE = OPEN.replace('"*"}', f'"{ROLE}"}}')
DIGEST = "sha256:" + "1" * 64


class NoClock:
    def now(self) -> dt.datetime:
        raise AssertionError("no clock is needed")

    def monotonic(self) -> float:
        raise AssertionError("no clock is needed")

    def sleep(self, seconds: float) -> None:
        raise AssertionError("no clock is needed")


class Store:
    def __init__(self, repository: Any = None, registry: Any = None, scope: Any = "V2") -> None:
        self.answers = {"repository": repository, "registry": registry, "scope": scope}

    def _tell(self, kind: str) -> str | None:
        found = self.answers[kind]
        if isinstance(found, Exception):
            raise found
        return found

    def repository_policy(self, repository: str) -> str | None:
        found = self.answers["repository"]
        if isinstance(found, dict):
            found = found[repository]
            if isinstance(found, Exception):
                raise found
            return found
        return self._tell("repository")

    def registry_policy(self) -> str | None:
        return self._tell("registry")

    def registry_policy_scope(self) -> str | None:
        return self._tell("scope")

    def set_repository_policy(self, repository: str, text: str, *, force: bool = False) -> None:
        raise AssertionError("reads only")

    def put_registry_policy(self, text: str) -> None:
        raise AssertionError("reads only")


class Documents:
    def __init__(self, *identity: Any, unreadable: Iterable[str] = (), notes: tuple[str, ...] = ()) -> None:
        self.policies, self.notes = Policies(identity=identity, unreadable=unreadable), notes

    def documents_of(self, principal: str) -> PrincipalDocuments:
        return PrincipalDocuments(principal=principal, policies=self.policies, notes=self.notes)


def refusal(operation: str, code: str = "AccessDeniedException", kind: type[AwsCallFailed] = Denied) -> AwsCallFailed:
    return kind(f"ecr {operation}: told", operation=operation, code=code)


def service(store: Store, **more: Any) -> AccessService:
    clock: Clock = NoClock()
    more.setdefault("account", ME)
    return AccessService(store, clock, more.pop("account"), REGION, **more)


class TestExplainOnline:
    """IAM, the repository and the registry are read; the answer is unknown where an unread one might decide."""

    def test_everything_read(self) -> None:
        found = service(Store(), documents=Documents(PULL)).explain_pull(ROLE, MINE)
        assert found.allowed
        assert any("taken to forbid nothing" in n and "service control" in n for n in found.notes)

    def test_unread_identity_is_no_yes(self) -> None:
        documents = Documents(PULL, unreadable={"identity"}, notes=("the inline policy x could not be read",))
        found = service(Store(), documents=documents).explain_pull(ROLE, MINE)
        assert found.outcome == "Unknown"
        assert "the inline policy x could not be read" in found.notes

    def test_without_a_source(self) -> None:
        assert service(Store()).explain_pull(ROLE, MINE).outcome == "Unknown"

    @pytest.mark.parametrize("kind", ["repository", "registry"])
    def test_refused_read_of_ecr(self, kind: str) -> None:
        store = Store(**{kind: refusal("GetPolicy")})
        found = service(store, documents=Documents(PULL)).explain_pull(ROLE, MINE)
        assert found.outcome == "Unknown"
        assert any(n.startswith(f"the {kind} policy could not be read") for n in found.notes)

    def test_missing_repository_is_said(self) -> None:
        store = Store(repository=refusal("GetRepositoryPolicy", "RepositoryNotFoundException", NotFound))
        found = service(store, documents=Documents(PULL)).explain_pull(ROLE, MINE)
        assert found.allowed and any("no such repository" in n for n in found.notes)

    def test_another_account_reads_its_own_policy(self) -> None:
        asked: list[tuple[str, str]] = []

        def registries(account: str, region: str) -> Store:
            asked.append((account, region))
            return Store(repository=FOR_ROLE)

        documents = Documents(PULL_ALL)
        found = service(Store(repository=refusal("x")), documents=documents, registries=registries)
        assert found.explain_pull(ROLE, THEIRS).allowed
        assert asked == [(OTHER, REGION)]

    def test_another_account_out_of_reach(self) -> None:
        found = service(Store(repository=OPEN), documents=Documents(PULL_ALL)).explain_pull(ROLE, THEIRS)
        assert found.outcome == "Unknown"
        assert any("another account's or Region's" in n for n in found.notes)

    def test_registry_policy_elsewhere_is_asked_by_its_owner_only(self) -> None:
        other = Store(repository=FOR_ROLE, registry=InvalidInput.single("no", "registry_id", "own only"))
        found = service(Store(), documents=Documents(PULL_ALL), registries=lambda *_: other).explain_pull(ROLE, THEIRS)
        assert found.outcome == "Unknown"  # a Deny may stand in the one that nobody read

    def test_scope_v1_leaves_pulls_alone(self) -> None:
        deny = OPEN.replace('"Allow"', '"Deny"').replace('"Action"', '"Resource":"*","Action"')
        for scope, outcome in (("V2", "ExplicitlyDenied"), ("V1", "Allowed")):
            store = Store(registry=deny, scope=scope)
            assert service(store, documents=Documents(PULL)).explain_pull(ROLE, MINE).outcome == outcome

    def test_account_is_found_out_once(self) -> None:
        asked: list[int] = []
        made = service(Store(), account=lambda: asked.append(1) or ME, documents=Documents(PULL))
        assert made.explain_pull(ROLE, MINE).allowed and made.explain_pull(ROLE, MINE).allowed
        assert asked == [1]

    def test_push(self) -> None:
        made = service(Store(), documents=Documents(PULL))
        found = made.explain_push(ROLE, MINE)
        assert found.outcome == "ImplicitlyDenied"
        assert [s.action for s in found.steps if not s.decision.allowed][-1] == "ecr:PutImage"
        assert made.explain_push(ROLE, MINE, Policies(identity=[presets.push(Scope(ME, REGION))])).allowed

    def test_public_asks_no_registry(self) -> None:
        store = Store(repository=refusal("x"), registry=refusal("x"))
        found = service(store, documents=Documents(PULL)).explain_pull(ROLE, "public.ecr.aws/docker/library/node:22")
        assert not any("could not be read" in n for n in found.notes)


def image(status: str) -> Image:
    raw = {"imageDigest": DIGEST, "imagePushedAt": 1.0, "imageStatus": status, "imageTags": ["v1"]}
    return Image.from_api(raw)


class Probes:
    def __init__(self, image: Any, manifest: Any = None, layers: str = "AVAILABLE") -> None:
        self.answer, self.manifest, self.availability = image, manifest, layers
        self.asked: list[str] = []

    def image(self, repository: str, reference: str) -> Image:
        self.asked.append("DescribeImages")
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def manifest_of(self, repository: str, reference: str) -> RawManifest | ImageFailure:
        self.asked.append("BatchGetImage")
        if isinstance(self.manifest, str):
            return ImageFailure(digest=None, code=self.manifest)
        text = json.dumps({"layers": [{"digest": DIGEST}]})
        return RawManifest(digest=DIGEST, media_type="m", text=text)

    def layers(self, repository: str, digests: Iterable[str]) -> dict[str, LayerState]:
        self.asked.append("BatchCheckLayerAvailability")
        return {d: LayerState(digest=d, availability=self.availability) for d in digests}


NOT_FOUND = f'failed to resolve reference "{MINE}": {MINE}: not found'
NO_AUTH = f'Failed to pull image "{MINE}": no basic auth credentials'


def probed(failure: str, probes: Probes, **more: Any) -> ProbedDiagnosis:
    return service(Store(), probes=lambda *_: probes).diagnose(failure, probe=True, **more)


class TestProbes:
    """DescribeImages, BatchGetImage and BatchCheckLayerAvailability confirm causes (ECR API reference)."""

    def test_off_by_default(self) -> None:
        probes = Probes(image("ACTIVE"))
        found = service(Store(), probes=lambda *_: probes).diagnose(NOT_FOUND)
        assert found.likeliest.code == "image-missing" and not found.confirmed and probes.asked == []

    def test_missing_image_is_confirmed(self) -> None:
        probes = Probes(refusal("DescribeImages", "ImageNotFoundException", NotFound))
        found = probed(NOT_FOUND, probes)
        assert (found.likeliest.code, found.confirmed) == ("image-missing", True)
        assert probes.asked == ["DescribeImages"]
        assert any("imports the image" in n for n in found.notes)

    def test_missing_repository(self) -> None:
        found = probed(NOT_FOUND, Probes(refusal("DescribeImages", "RepositoryNotFoundException", NotFound)))
        assert (found.likeliest.code, found.confirmed) == ("repository-missing", True)
        assert [c.confidence for c in found.diagnosis.causes if c.code == "image-missing"] == ["low"]

    @pytest.mark.parametrize("status", ["ARCHIVED", "ACTIVATING"])
    def test_archived_rules_out_missing(self, status: str) -> None:
        found = probed(NOT_FOUND, Probes(image(status)))
        assert (found.likeliest.code, found.confirmed) == ("image-archived", True)
        assert found.diagnosis.causes[-1].confidence == "low"
        assert status in found.explain()

    def test_what_the_text_says_for_certain_stays_first(self) -> None:
        found = probed(NO_AUTH, Probes(image("ARCHIVED")))
        assert found.likeliest.code == "no-credentials" and not found.confirmed
        assert "image-archived" in [c.code for c in found.diagnosis.causes]

    @pytest.mark.parametrize(
        ("code", "cause"),
        [("ImageNotFound", "image-missing"), ("KmsError", "kms"), ("UpstreamAccessDenied", "upstream-credential"),
         ("UpstreamTooManyRequests", "throttled"), ("UpstreamUnavailable", "upstream-unavailable"),
         ("ImageInaccessible", "image-broken"), ("SomethingNew", "")],
    )  # fmt: skip
    def test_failure_codes(self, code: str, cause: str) -> None:
        denied = Probes(refusal("DescribeImages"), manifest=code)
        found = probed("some text", denied, image=MINE, read_manifest=True)
        assert [(o.answer, o.cause) for o in found.observations] == [(code, cause)]
        assert found.likeliest.code == (cause or "unknown")

    @pytest.mark.parametrize(
        ("availability", "cause"), [("AVAILABLE", ""), ("UNAVAILABLE", "image-broken"), ("ARCHIVED", "image-archived")]
    )
    def test_layers(self, availability: str, cause: str) -> None:
        found = probed("x", Probes(image("ACTIVE"), layers=availability), image=MINE, read_manifest=True)
        assert found.observations[-1].call == "BatchCheckLayerAvailability"
        assert found.observations[-1].cause == cause

    def test_nothing_to_probe(self) -> None:
        assert "names no image" in probed("no idea", Probes(image("ACTIVE"))).notes[0]
        public = probed("x", Probes(image("ACTIVE")), image="public.ecr.aws/docker/library/node:22")
        assert "ECR Public" in public.notes[0]
        away = service(Store(), probes=lambda *_: None).diagnose(NOT_FOUND, probe=True)
        assert "out of reach" in away.notes[0]


class OneByOne:
    def each(self, work: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        for item in items:
            yield item, work(item)


class Repositories:
    def __init__(self, *names: str) -> None:
        self.names = names

    def repositories(self) -> list[Repository]:
        return [
            Repository.from_api({
                "repositoryName": n, "repositoryArn": f"arn:aws:ecr:{REGION}:{ME}:repository/{n}", "registryId": ME,
                "repositoryUri": n, "createdAt": 1.0,
            }) for n in self.names
        ]  # fmt: skip


class TestSurvey:
    """Every repository policy and the registry policy count; an unread one is no all-clear."""

    def survey(self, policies: dict[str, Any], **more: Any):
        store = Store(repository=policies, **more)
        made = service(store, repositories=Repositories(*policies), fan_out=OneByOne())
        steps: list[int] = []
        return made.readable_from_outside(on_progress=lambda p: steps.append(p.done)), steps

    def test_open_and_closed(self) -> None:
        report, steps = self.survey({"a": OPEN, "b": None, "c": FOR_ROLE})
        assert [(e.repository, e.audience) for e in report.exposures] == [("a", "public")]
        assert (report.repositories, report.calls, report.closed, steps) == (3, 5, False, [1, 2, 3])
        assert self.survey({"b": None})[0].closed

    def test_registry_policy(self) -> None:
        report, _ = self.survey({"a": None}, registry=OPEN.replace('"Action"', '"Resource":"*","Action"'))
        assert [(e.repository, e.audience) for e in report.exposures] == [("*", "public")]

    def test_unreadable_is_no_all_clear(self) -> None:
        report, _ = self.survey({"a": refusal("GetRepositoryPolicy"), "b": None}, registry=refusal("GetRegistryPolicy"))
        assert sorted(report.unreadable) == ["*", "a"] and not report.closed

    def test_deleted_meanwhile(self) -> None:
        report, _ = self.survey({"a": refusal("x", "RepositoryNotFoundException", NotFound)})
        assert report.closed

    def test_needs_a_source(self) -> None:
        with pytest.raises(InvalidInput, match="no source of repositories"):
            service(Store()).readable_from_outside()
