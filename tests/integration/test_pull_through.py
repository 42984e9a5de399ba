"""Pulls through the cache of the embedded ECR, from another registry; reported on; by skopeo over HTTP too."""

from __future__ import annotations

import datetime as dt
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ecrkit.client import Registry
from ecrkit.errors import NotFound
from ecrkit.events import PullThroughCacheAction, parse_event
from ecrkit.images import Inventory
from ecrkit.images.manifest import Manifest
from ecrkit.local import Engine, serve
from ecrkit.local.images import image, index, layer
from ecrkit.local.pull_through import FetchedManifest
from ecrkit.pull_through import PullThroughRule, cold_pull
from ecrkit.records import CreationTemplate
from tests.support.tools import require_tool

QUAY = PullThroughRule(prefix="quay", upstream_url="quay.io")
TEMPLATE = CreationTemplate(
    prefix="quay", applied_for=("PULL_THROUGH_CACHE",), tag_mutability="MUTABLE", resource_tags={"from": "quay"},
    custom_role_arn="arn:aws:iam::123456789012:role/tags",
)  # fmt: skip


@pytest.fixture
def quay() -> Engine:
    """A registry that stands for quay.io."""
    engine = Engine(account="111111111111")
    engine.call("CreateRepository", {"repositoryName": "team/web"})
    return engine


@pytest.fixture
def registry(quay: Engine) -> Iterator[Registry]:
    """A registry with a rule and a template for quay.io."""
    with Registry.local() as made:
        made.engine.pull_through.connect("quay.io", quay)
        made.pull_through.apply(made.pull_through.plan([QUAY], templates=[TEMPLATE]))
        yield made


def push(engine: Engine, content: str, tag: str) -> str:
    return image([layer({"app": content})]).push(engine, "team/web", tag)


def pull(registry: Registry, reference: str = "v1") -> str | None:
    """Return the digest pulled, or None when ECR names a failure."""
    found = registry.gateway.manifest_of("quay/team/web", reference)
    return None if found is None else found.digest


def events(registry: Registry) -> list[PullThroughCacheAction]:
    read = [parse_event(e.to_eventbridge()) for e in registry.engine.events if hasattr(e, "upstream")]
    return [e for e in read if isinstance(e, PullThroughCacheAction)]


class TestFetching:
    """An image is fetched at its first pull; its repository is made by the template."""

    def test_first_pull(self, quay: Engine, registry: Registry) -> None:
        digest = push(quay, "1", "v1")
        assert pull(registry) == digest
        assert registry.gateway.tags_of(registry.gateway.repository("quay/team/web").arn) == {"from": "quay"}
        (event,) = events(registry)
        assert (event.repository, event.tag, event.digest, event.succeeded) == ("quay/team/web", "v1", digest, True)
        assert (event.prefix, event.upstream) == ("quay", "quay.io")

    def test_an_index_comes_whole(self, quay: Engine, registry: Registry) -> None:
        shared = layer({"app": "1"})
        digest = index([image([shared], platform=f"linux/{p}") for p in ("amd64", "arm64")]).push(
            quay, "team/web", "v1"
        )
        assert pull(registry, digest) == digest
        assert len(registry.gateway.images("quay/team/web").all()) == 3
        blobs = [f for f in registry.engine.pull_through.fetched if f[0] == "blob"]
        assert len(blobs) == len(set(blobs)) == 3

    def test_a_tag_is_looked_up_again_after_24_hours_only(self, quay: Engine, registry: Registry) -> None:
        old = push(quay, "1", "v1")
        assert pull(registry) == old
        new = push(quay, "2", "v1")
        registry.engine.advance(dt.timedelta(hours=23, minutes=59))
        assert pull(registry) == old
        registry.engine.advance(dt.timedelta(minutes=1))
        assert pull(registry) == new
        assert pull(registry, old) == old

    def test_the_cached_image_is_served_when_the_upstream_fails(self, quay: Engine, registry: Registry) -> None:
        digest = push(quay, "1", "v1")
        assert pull(registry) == digest
        registry.engine.advance(dt.timedelta(days=2))
        registry.engine.pull_through.fail("quay.io", "UpstreamTooManyRequests")
        assert pull(registry) == digest
        assert events(registry)[-1].failure_code == "UpstreamTooManyRequests"

    @pytest.mark.parametrize("code", ["UpstreamAccessDenied", "UpstreamTooManyRequests", "UpstreamUnavailable"])
    def test_a_miss_that_fails_makes_no_repository(self, code: str, quay: Engine, registry: Registry) -> None:
        push(quay, "1", "v1")
        registry.engine.pull_through.fail("quay.io", code, times=1)  # type: ignore[arg-type]  # one of the three
        answer = registry.engine.call(
            "BatchGetImage", {"repositoryName": "quay/team/web", "imageIds": [{"imageTag": "v1"}]}
        )
        assert [f["failureCode"] for f in answer["failures"]] == [code]
        assert registry.repositories().all() == ()
        assert pull(registry) is not None

    def test_what_is_nowhere(self, registry: Registry) -> None:
        with pytest.raises(NotFound):
            pull(registry, "none")
        assert registry.repositories().all() == ()

    def test_from_a_callable_that_lies(self, registry: Registry) -> None:
        registry.engine.pull_through.connect(
            "quay.io", lambda kind, *_: FetchedManifest("{}") if kind == "manifest" else b""
        )
        with pytest.raises(NotFound):
            pull(registry, "v1")

    def test_from_another_region_by_a_rule_of_ecr(self) -> None:
        with Registry.local() as made:
            west = made.in_region("us-west-2")
            west.gateway.create_repository("base")
            digest = image([layer({"a": "1"})]).push(west.client, "base", tag="1")
            rule = PullThroughRule(prefix="west", upstream_url="123456789012.dkr.ecr.us-west-2.amazonaws.com")
            made.pull_through.apply(made.pull_through.plan([rule]))
            found = made.gateway.manifest_of("west/base", "1")
            assert found is not None
            assert found.digest == digest

    def test_an_immutable_tag_stays(self, quay: Engine) -> None:
        with Registry.local() as made:
            made.engine.pull_through.connect("quay.io", quay)
            template = CreationTemplate(prefix="ROOT", applied_for=("PULL_THROUGH_CACHE",), tag_mutability="IMMUTABLE")
            made.pull_through.apply(made.pull_through.plan([QUAY], templates=[template]))
            old = push(quay, "1", "v1")
            assert pull(made) == old
            push(quay, "2", "v1")
            made.engine.advance(dt.timedelta(days=2))
            assert pull(made) == old

    def test_a_caller_without_the_permission_gets_nothing_new(self, quay: Engine, registry: Registry) -> None:
        digest = push(quay, "1", "v1")
        read = {"Effect": "Allow", "Action": ["ecr:BatchGetImage"], "Resource": "*"}
        imports = {
            "Effect": "Allow",
            "Action": ["ecr:BatchImportUpstreamImage", "ecr:CreateRepository"],
            "Resource": "*",
        }
        registry.engine.enforce(
            {
                "reader": [{"Version": "2012-10-17", "Statement": [read]}],
                "puller": [{"Version": "2012-10-17", "Statement": [read, imports]}],
            }
        )
        asked = {"repositoryName": "quay/team/web", "imageIds": [{"imageTag": "v1"}]}
        with pytest.raises(Exception, match="does not exist"):
            registry.engine.call("BatchGetImage", asked, caller="reader")
        pulled = registry.engine.call("BatchGetImage", asked, caller="puller")
        assert pulled["images"][0]["imageId"]["imageDigest"] == digest
        assert registry.engine.call("BatchGetImage", asked, caller="reader")["images"]


class TestReport:
    """What is cached, stale or failing: from listings, events, validations, and the upstream when it may be asked."""

    def test_states(self, quay: Engine, registry: Registry) -> None:
        for tag in ("v1", "v2", "v3", "v4"):
            push(quay, tag, tag)
            pull(registry, tag)
        quiet = registry.pull_through.report()
        assert {t.state for t in quiet.tags} == {"unknown"}
        assert quiet.ok is False
        heard = registry.pull_through.report(events=events(registry))
        assert ({t.state for t in heard.tags}, heard.ok) == ({"checked"}, True)
        registry.engine.advance(dt.timedelta(hours=24))
        assert {t.state for t in registry.pull_through.report(events=events(registry)).tags} == {"due"}
        push(quay, "new", "v1")
        quay.call("BatchDeleteImage", {"repositoryName": "team/web", "imageIds": [{"imageTag": "v2"}]})
        registry.engine.pull_through.fail("quay.io", "UpstreamUnavailable", times=1)
        pull(registry, "v3")

        def upstream(reference: str) -> str | None:
            repo = quay.registry().repositories[reference.removeprefix("quay.io/").partition(":")[0]]
            return repo.tag_to_digest.get(reference.rpartition(":")[2])

        report = registry.pull_through.report(events=events(registry), upstream_digest=upstream)
        assert {t.tag: t.state for t in report.tags} == {
            "v1": "stale",
            "v2": "gone upstream",
            "v3": "failing",
            "v4": "current",
        }
        assert report.of_state("stale")[0].upstream == "quay.io/team/web:v1"
        assert (report.rules[0].tags, report.rules[0].repositories) == (4, ("quay/team/web",))
        assert "UpstreamUnavailable" in str(report)

    def test_asking_fetches_nothing(self, quay: Engine, registry: Registry) -> None:
        push(quay, "1", "v1")
        pull(registry)
        registry.engine.advance(dt.timedelta(days=2))
        before = list(registry.engine.pull_through.fetched)
        registry.pull_through.report()
        assert registry.engine.pull_through.fetched == before

    def test_misses_and_rules_that_fail(self, registry: Registry) -> None:
        registry.engine.pull_through.fail("quay.io", "UpstreamAccessDenied")
        assert pull(registry, "v9") is None
        report = registry.pull_through.report(events=events(registry))
        assert [(m.tag, m.failure_code) for m in report.misses] == [("v9", "UpstreamAccessDenied")]
        assert (report.rules[0].failing, report.ok) == (True, False)


class TestColdPull:
    """Bytes and calls of a first pull are those that the embedded ECR counts."""

    def test_numbers(self, quay: Engine, registry: Registry) -> None:
        base, app = layer({"base": "0" * 5000}), layer({"app": "1"})
        made = index([image([base, app], platform=f"linux/{p}") for p in ("amd64", "arm64")])
        digest = made.push(quay, "team/web", "v1")
        states = quay.registry().repositories["team/web"].images
        manifests = {d: Manifest.parse(s.manifest.text, media_type=s.manifest.media_type) for d, s in states.items()}
        cost = cold_pull(manifests, digest, platform="linux/arm64")
        child = next(m for m in manifests.values() if m.digest == manifests[digest].children[1])
        blobs = {child.config.digest: child.config.size, **{b.digest: b.size for b in child.layers}}
        assert cost.to_node == sum(blobs.values()) + child.length + manifests[digest].length
        assert (cost.layers, cost.upstream_requests, cost.ecr_calls["GetDownloadUrlForLayer"]) == (2, 5, 3)
        warm = cold_pull(manifests, digest, platform="linux/arm64", cached=blobs)
        assert (warm.from_upstream, warm.to_node) == (child.length + manifests[digest].length, cost.to_node)
        assert "NAT gateway" in cost.explain()


def test_skopeo_pulls_through(tmp_path: Path, quay: Engine, registry: Registry) -> None:
    """A registry client pulls an image that is only upstream; the digest is the upstream's."""
    skopeo, digest = require_tool("skopeo"), push(quay, "1", "v1")
    with serve(registry.engine) as server:
        password, _ = registry.engine.issue_token()
        reference = f"docker://127.0.0.1:{server.port}/quay/team/web"
        login = ["--src-creds", f"AWS:{password}", "--src-tls-verify=false"]
        command = [
            skopeo,
            "--insecure-policy",
            "copy",
            "--quiet",
            *login,
            f"{reference}:v1",
            f"oci:{tmp_path}/out:v1",
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        registry.engine.pull_through.fail("quay.io", "UpstreamAccessDenied", times=1)
        missing = [*command[:-2], f"{reference}:v2", command[-1]]
        refused = subprocess.run(missing, capture_output=True, text=True, timeout=60, check=False)
        assert refused.returncode != 0
    assert digest.partition(":")[2] in (tmp_path / "out/index.json").read_text()
    assert [i.digest for i in Inventory(registry.gateway.images("quay/team/web"))] == [digest]
