"""Taking a snapshot: what is read, by how many calls, what becomes a gap, and how a crawl goes on."""

from __future__ import annotations

import gzip
import threading
from collections import Counter

import pytest

from ecrkit import Registry, errors
from ecrkit.access import readable_from_outside
from ecrkit.local import ServiceFault
from ecrkit.snapshot import NotRead, load
from tests.unit.snapshot.conftest import LIFECYCLE, POLICY, fill


def calls(registry, work):
    seen: Counter[str] = Counter()
    registry.engine.before_call.append(lambda call: seen.update([call.operation]))
    try:
        result = work()
    finally:
        registry.engine.before_call.pop()
    return result, seen


def failing(registry, operation, repository=None, code="AccessDeniedException", status=400):
    def hook(call):
        if call.operation == operation and (repository is None or call.params.get("repositoryName") == repository):
            raise ServiceFault(code, f"{operation} refused by the test", status)

    registry.engine.before_call.append(hook)
    return lambda: registry.engine.before_call.remove(hook)


class TestWhatIsRead:
    def test_every_part_of_every_repository(self, registry):
        snapshot = registry.snapshot()
        assert list(snapshot) == ["shop/cart", "shop/web", "tools"]
        assert snapshot["tools"].repository_policy == POLICY and snapshot["shop/web"].repository_policy is None
        assert snapshot["shop/web"].lifecycle_policy == LIFECYCLE and snapshot["tools"].lifecycle_policy is None
        assert {name: tags["Team"] for name, tags in snapshot.tags.items()} == {
            "shop/cart": "shop", "shop/web": "shop", "tools": "tools",
        }  # fmt: skip
        live = registry.inventory("shop/web", manifests="all")
        held = snapshot["shop/web"].inventory
        assert {i.digest for i in held} == {i.digest for i in live} and len(held) == 3
        assert held.manifests == live.manifests and held.children == live.children
        assert snapshot.account == "123456789012" and snapshot.region == "us-east-1"
        assert snapshot.setting("registry_policy") is None
        assert snapshot.settings["account_settings"]["BLOB_MOUNTING"] == "DISABLED"
        assert snapshot.settings["scanning_configuration"]["scanningConfiguration"]["scanType"] == "BASIC"

    def test_images_of_every_status_and_archived_ones_have_no_manifest(self, registry):
        digest = registry.gateway.digest_of("tools", "v1")
        registry.gateway.update_storage_class("tools", digest, "archive")
        entry = registry.snapshot("tools")["tools"]
        archived = {i.digest for i in entry.images if i.status == "ARCHIVED"}
        assert digest in archived
        assert entry.unread == dict.fromkeys(archived, "ARCHIVED")
        assert entry.inventory.manifests.keys() == {i.digest for i in entry.images} - archived
        assert "manifests" in entry.read and not entry.gaps

    def test_a_name_a_pattern_several_or_a_function(self, registry):
        assert list(registry.snapshot("tools", manifests=False)) == ["tools"]
        assert list(registry.snapshot("shop/*", manifests=False)) == ["shop/cart", "shop/web"]
        assert list(registry.snapshot(["*web", "tools"], manifests=False)) == ["shop/web", "tools"]
        chosen = registry.snapshot(lambda r: r.name.startswith("t"), manifests=False)
        assert list(chosen) == ["tools"] and chosen.asked.function
        with pytest.raises(errors.InvalidInput, match="names none"):
            registry.snapshot([])

    def test_by_resource_tag(self, registry):
        assert list(registry.snapshot(resource_tags={"Team": "shop"}, manifests=False)) == ["shop/cart", "shop/web"]
        found, seen = calls(registry, lambda: registry.snapshot(resource_tags={"Team": "tools"}, tags=False))
        assert list(found) == ["tools"]
        assert seen["ListTagsForResource"] == 3 and seen["DescribeImages"] == 1

    def test_a_tag_without_a_value_is_no_question(self, registry):
        with pytest.raises(errors.InvalidInput, match="resource_tags: maps keys to texts"):
            registry.snapshot(resource_tags={"Team": None})

    def test_what_is_not_asked_for_costs_nothing_and_raises(self, registry):
        entry, seen = calls(
            registry,
            lambda: registry.snapshot("tools", manifests=False, tags=False, policies=False, settings=False)["tools"],
        )
        assert dict(seen) == {"DescribeRepositories": 1, "DescribeImages": 1}
        for part in ("manifests", "tags", "lifecycle_policy", "repository_policy"):
            with pytest.raises(NotRead, match="not asked for"):
                getattr(entry, part)
        assert not entry.gaps
        assert len(entry.inventory.opaque_indexes) == 1

    def test_only_a_summary_of_scans_can_be_asked_for(self, registry):
        _, seen = calls(registry, registry.snapshot)
        assert "DescribeImageScanFindings" not in seen
        with pytest.raises(errors.InvalidInput, match="scans"):
            registry.snapshot(scans="all")

    def test_reading_manifests_is_announced_before_the_first(self, registry):
        told = []
        registry.snapshot(on_progress=told.append)
        assert "may count as a pull" in told[0].what
        assert [(p.done, p.total) for p in told[1:]] == [(n, 3) for n in range(4)]
        told.clear()
        registry.snapshot(manifests=False, on_progress=told.append)
        assert all(p.what == "repositories" for p in told)


class TestCalls:
    """As documented: eight for the settings, for a repository one for images, tags, each policy, 100 manifests."""

    def test_of_a_whole_registry(self, registry):
        _, seen = calls(registry, registry.snapshot)
        assert dict(seen) == {
            "DescribeRepositories": 1, "DescribeImages": 3, "ListTagsForResource": 3, "GetLifecyclePolicy": 3,
            "GetRepositoryPolicy": 3, "BatchGetImage": 3, "GetRegistryPolicy": 1, "DescribeRegistry": 1,
            "GetRegistryScanningConfiguration": 1, "DescribePullThroughCacheRules": 1,
            "DescribeRepositoryCreationTemplates": 1, "GetAccountSetting": 3,
        }  # fmt: skip

    def test_a_cache_reads_a_manifest_once_for_ever(self, registry, tmp_path):
        first = registry.snapshot(cache=tmp_path)
        again, seen = calls(registry, lambda: registry.snapshot(cache=tmp_path))
        assert "BatchGetImage" not in seen
        assert again["tools"].manifests == first["tools"].manifests
        victim = next(p for p in tmp_path.rglob("*") if p.is_file())
        victim.write_bytes(b"application/json\n{}")
        mended, seen = calls(registry, lambda: registry.snapshot(cache=tmp_path))
        assert seen["BatchGetImage"] == 1
        assert mended["tools"].manifests == first["tools"].manifests

    def test_a_cached_manifest_serves_an_archived_image(self, registry, tmp_path):
        registry.snapshot(cache=tmp_path)
        digest = registry.gateway.digest_of("tools", "v1")
        registry.gateway.update_storage_class("tools", digest, "archive")
        assert digest in registry.snapshot(cache=tmp_path)["tools"].inventory.manifests


class TestGaps:
    """What cannot be read is told, in every query that depends on it, and the crawl goes on."""

    @pytest.mark.parametrize(
        ("operation", "part"),
        [
            ("DescribeImages", "images"), ("GetLifecyclePolicy", "lifecycle_policy"),
            ("GetRepositoryPolicy", "repository_policy"), ("BatchGetImage", "manifests"),
        ],
    )  # fmt: skip
    def test_of_one_repository(self, registry, operation, part):
        failing(registry, operation, "tools")
        snapshot = registry.snapshot()
        (gap,) = [g for g in snapshot.gaps if g.repository]
        assert (gap.what, gap.repository, gap.call) == (part, "tools", operation)
        assert "refused by the test" in gap.error
        assert part not in snapshot["tools"].read and not snapshot.complete
        assert part in snapshot.unread["tools"] and "shop/web" not in snapshot.unread
        assert part in snapshot["shop/web"].read

    def test_unread_images_are_never_an_empty_inventory(self, registry):
        failing(registry, "DescribeImages", "tools")
        snapshot = registry.snapshot()
        entry = snapshot["tools"]
        for ask in (lambda: entry.images, lambda: entry.inventory, lambda: entry.manifests, snapshot.inventories):
            with pytest.raises(NotRead, match="refused by the test") as caught:
                ask()
            assert caught.value.gaps[0].repository == "tools"
        assert [name for name, _ in snapshot.inventories(gaps="skip")] == ["shop/cart", "shop/web"]
        assert snapshot.to_columns()["images"] == [3, 3, None]
        with pytest.raises(NotRead):
            snapshot.image_columns()
        assert "tools" in snapshot._repr_html_() and "refused by the test" in snapshot._repr_html_()

    def test_of_manifests_leaves_the_images_known_and_the_index_opaque(self, registry):
        failing(registry, "BatchGetImage", "tools")
        entry = registry.snapshot()["tools"]
        assert len(entry.inventory) == 3 and len(entry.inventory.opaque_indexes) == 1
        assert set(entry.unread) == {i.digest for i in entry.images}

    def test_tags_that_decide_the_selection(self, registry):
        failing(registry, "ListTagsForResource")
        snapshot = registry.snapshot(resource_tags={"Team": "shop"})
        assert {g.what for g in snapshot.gaps if g.repository} == {"selection"}
        with pytest.raises(NotRead):
            _ = snapshot["shop/web"].images
        with pytest.raises(NotRead):
            snapshot.inventories()

    def test_of_a_setting(self, registry):
        failing(registry, "GetRegistryPolicy")
        snapshot = registry.snapshot()
        assert "registry_policy" not in snapshot.settings
        with pytest.raises(NotRead, match="GetRegistryPolicy"):
            snapshot.setting("registry_policy")
        with pytest.raises(NotRead):
            snapshot.policies()
        assert "*" not in snapshot.policies(gaps="skip")

    def test_no_listing_no_snapshot(self, registry):
        failing(registry, "DescribeRepositories")
        with pytest.raises(errors.Denied):
            registry.snapshot()

    def test_a_repository_that_vanishes_meanwhile(self, registry):
        failing(registry, "DescribeImages", "tools", code="RepositoryNotFoundException")
        assert "tools" in registry.snapshot().unread


def test_a_snapshot_feeds_the_question_who_can_read_from_outside(registry):
    ways = readable_from_outside(registry.snapshot().policies(), account="123456789012")
    assert [(w.repository, w.audience) for w in ways] == [("tools", "public")]


class TestResume:
    def test_a_crawl_that_died_goes_on(self, registry, tmp_path):
        work = tmp_path / "crawl"
        others_done = threading.Event()

        def wait(call):
            if call.operation == "DescribeImages" and call.params["repositoryName"] == "tools":
                assert others_done.wait(20)

        registry.engine.before_call.append(wait)
        stop = failing(registry, "DescribeImages", "tools", code="ExpiredTokenException")
        with pytest.raises(errors.CredentialsMissing):
            registry.snapshot(resume=work, on_progress=lambda p: others_done.set() if p.done == 2 else None)
        stop()
        with pytest.raises(errors.InvalidInput, match="resume"):
            load(work)
        whole, seen = calls(registry, lambda: registry.snapshot(resume=work))
        assert list(whole) == ["shop/cart", "shop/web", "tools"]
        assert seen["DescribeImages"] == 1
        assert load(work) == whole

    def test_with_one_worker_exactly_the_finished_ones_are_kept(self, tmp_path):
        with Registry.local(workers=1) as registry:
            fill(registry, "aa", "bb", "cc")
            stop = failing(registry, "GetRepositoryPolicy", "cc", code="ExpiredTokenException")
            with pytest.raises(errors.CredentialsMissing):
                registry.snapshot(resume=tmp_path / "crawl")
            stop()
            whole, seen = calls(registry, lambda: registry.snapshot(resume=tmp_path / "crawl"))
            assert seen["DescribeImages"] == 1 and seen["BatchGetImage"] == 1 and len(whole) == 3

    def test_repositories_with_gaps_are_tried_again(self, registry, tmp_path):
        stop = failing(registry, "GetRepositoryPolicy", "shop/web")
        end = failing(registry, "DescribeImages", "tools", code="ExpiredTokenException")
        with pytest.raises(errors.CredentialsMissing):
            registry.snapshot(resume=tmp_path / "crawl")
        stop(), end()
        assert not [g for g in registry.snapshot(resume=tmp_path / "crawl").gaps if g.repository]

    @pytest.mark.parametrize("cut", [1, 5, 300])
    def test_a_work_file_that_was_cut_anywhere(self, registry, tmp_path, cut):
        work = tmp_path / "crawl"
        whole = registry.snapshot(resume=work)
        packed = work.read_bytes()
        work.write_bytes(packed[:-cut])
        assert registry.snapshot(resume=work)["tools"].manifests == whole["tools"].manifests
        assert load(work).finished_at == registry.clock.now()

    def test_of_another_crawl_is_refused(self, registry, tmp_path):
        work = tmp_path / "crawl"
        stop = failing(registry, "DescribeImages", "tools", code="ExpiredTokenException")
        with pytest.raises(errors.CredentialsMissing):
            registry.snapshot(resume=work)
        stop()
        with pytest.raises(errors.InvalidInput, match="another crawl"):
            registry.snapshot("shop/*", resume=work)

    def test_a_finished_one_is_begun_anew_and_the_older_snapshot_stays_readable(self, registry, tmp_path):
        first = registry.snapshot(resume=tmp_path / "crawl")
        before = first["tools"].repository_policy
        registry.gateway.delete_repository_policy("tools")
        second = registry.snapshot(resume=tmp_path / "crawl")
        assert second["tools"].repository_policy is None
        assert first["tools"].repository_policy == before == POLICY

    def test_a_finished_one_of_another_registry_is_not_written_over(self, registry, tmp_path):
        saved = registry.in_region("eu-west-1").snapshot().save(tmp_path / "eu.jsonl.gz")
        with pytest.raises(errors.InvalidInput, match="another crawl"):
            registry.snapshot(resume=saved)
        assert load(saved).region == "eu-west-1"

    def test_a_file_that_is_no_work_file_is_not_written_over(self, registry, tmp_path):
        other = tmp_path / "notes.txt"
        other.write_text("my notes\n")
        with pytest.raises(errors.InvalidInput, match="not a snapshot"):
            registry.snapshot(resume=other)
        assert other.read_text() == "my notes\n"

    def test_repositories_deleted_meanwhile_are_dropped(self, tmp_path):
        with Registry.local(workers=1) as registry:
            fill(registry, "bb", "cc")
            registry.gateway.create_repository("aa")
            stop = failing(registry, "DescribeImages", "cc", code="ExpiredTokenException")
            with pytest.raises(errors.CredentialsMissing):
                registry.snapshot(resume=tmp_path / "crawl")
            stop()
            registry.gateway.delete_empty_repository("aa")
            assert list(registry.snapshot(resume=tmp_path / "crawl")) == ["bb", "cc"]


def test_repositories_are_read_side_by_side(registry):
    """Two crawls of a repository wait for each other, which one thread alone could not do."""
    both = threading.Barrier(2, timeout=20)
    met = []

    def meet(call):
        if call.operation == "DescribeImages" and call.params["repositoryName"] in ("shop/cart", "shop/web"):
            met.append(both.wait())

    registry.engine.before_call.append(meet)
    registry.snapshot(manifests=False)
    assert len(met) == 2


def test_a_saved_file_is_one_gzip_stream(registry, tmp_path):
    path = registry.snapshot().save(tmp_path / "registry.jsonl.gz")
    lines = gzip.decompress(path.read_bytes()).splitlines()
    assert lines[0].startswith(b'{"format":"ecrkit-snapshot","version":1,') and lines[-1].startswith(b'{"registry":')
    assert path.read_bytes() == load(path).save(tmp_path / "again").read_bytes()
