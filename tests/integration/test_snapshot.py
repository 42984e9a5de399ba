"""A snapshot with exactly the permissions that its preset gives, and a crawl that goes on after its process was killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import attrs
import pytest

from ecrkit import Registry
from ecrkit.access import Scope, presets
from ecrkit.cost import storage
from ecrkit.errors import Denied, InvalidInput
from ecrkit.local import Engine, ServiceFault, serve
from ecrkit.snapshot import diff, load
from tests.unit.snapshot.conftest import LIFECYCLE, POLICY, fill

ROOT = Path(__file__).parents[2]
WHOLE = Scope("123456789012", "us-east-1")


@pytest.fixture
def engine():
    made = Engine()
    with Registry.local(made) as registry:
        fill(registry, "shop/cart", "team/app")
        registry.gateway.set_repository_policy("team/app", POLICY)
        registry.gateway.put_lifecycle_policy("team/app", LIFECYCLE)
    return made


class TestPermissions:
    """`presets.crawler` suffices, and each of its actions is needed: without it something is missing, and told."""

    def test_the_preset_suffices(self, engine):
        with Registry.local(engine, principals={"crawler": presets.crawler(WHOLE)}, caller="crawler") as registry:
            snapshot = registry.snapshot()
        assert snapshot.complete and len(snapshot) == 2

    def test_a_narrower_scope_is_enough_for_its_repositories(self, engine):
        narrow = presets.crawler(Scope("123456789012", "us-east-1", ("team/*",)))
        with Registry.local(engine, principals={"crawler": narrow}, caller="crawler") as registry:
            assert registry.snapshot("team/*").complete
            gaps = registry.snapshot().gaps
        assert {gap.repository for gap in gaps} == {"shop/cart"}
        assert {gap.what for gap in gaps} == {"images", "tags", "lifecycle_policy", "repository_policy"}

    @pytest.mark.parametrize("name", sorted({a for s in presets.crawler(WHOLE).statements for a in s.actions or ()}))
    def test_without_an_action_there_is_a_gap(self, engine, name):
        document = presets.crawler(WHOLE)
        less = attrs.evolve(
            document,
            statements=tuple(
                attrs.evolve(s, actions=rest)
                for s in document.statements
                if (rest := tuple(a for a in s.actions or () if a != name))
            ),
        )
        with Registry.local(engine, principals={"crawler": less}, caller="crawler") as registry:
            if name == "ecr:DescribeRepositories":
                with pytest.raises(Denied):
                    registry.snapshot()
            else:
                found = {gap.call for gap in registry.snapshot().gaps}
                assert name.removeprefix("ecr:") in found


def test_costs_are_computed_from_a_snapshot_here_and_in_processes(engine, tmp_path):
    with Registry.local(engine) as registry:
        taken = registry.snapshot()
    loaded = load(taken.save(tmp_path / "registry.jsonl.gz"))
    serial = storage(dict(taken.inventories()))
    assert storage(loaded.sources()) == storage(taken.sources()) == serial
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert storage(loaded.sources(), executor=pool) == serial


def test_an_unread_repository_makes_costs_unknown_and_not_less(engine):
    with Registry.local(engine) as registry:
        engine.before_call.append(refuse_images)
        sources = registry.snapshot().sources()
        engine.before_call.remove(refuse_images)
    assert sources["team/app"] is None and sources["shop/cart"] is not None
    report = storage(sources)
    assert report.bytes.high is None
    assert list(report.gaps) == ["team/app"]


def refuse_images(call):
    if call.operation == "DescribeImages" and call.params["repositoryName"] == "team/app":
        raise ServiceFault("AccessDeniedException", "refused by the test", 400)


CRAWL = """
import sys, boto3
from ecrkit import Registry
session = boto3.Session("AKIAIOSFODNN7EXAMPLE", "secret", region_name="us-east-1")
with Registry.from_session(session, registry_id="123456789012", endpoint_url=sys.argv[1], workers=1, attempts=1) as registry:
    print("began", flush=True)
    registry.snapshot(settings=False, resume=sys.argv[2])
"""


def test_a_crawl_goes_on_after_its_process_was_killed(engine, tmp_path):
    """The process is killed while it waits for an answer about the second repository."""
    work = tmp_path / "crawl"
    crawler: list[subprocess.Popen[str]] = []

    def kill(call):
        if call.operation == "DescribeImages" and call.params["repositoryName"] == "team/app":
            crawler[0].send_signal(signal.SIGKILL)
            crawler[0].wait(30)

    engine.before_call.append(kill)
    with serve(engine) as server:
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
        command = [sys.executable, "-c", CRAWL, server.url, str(work)]
        with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
            crawler.append(process)
            assert process.wait(60) == -signal.SIGKILL
            assert process.stdout is not None and process.stdout.read() == "began\n"
    engine.before_call.remove(kill)
    with pytest.raises(InvalidInput, match="resume"):
        load(work)
    asked: list[str] = []
    engine.before_call.append(lambda call: asked.append(str(call.params.get("repositoryName"))))
    with Registry.local(engine, workers=1) as registry:
        snapshot = registry.snapshot(settings=False, resume=work)
        assert set(asked) == {"None", "team/app"}, "only what was missing is read"
        assert list(snapshot) == ["shop/cart", "team/app"] and snapshot.complete
        assert load(work) == snapshot
        whole = registry.snapshot(settings=False, resume=None)
        assert not [c for c in diff(snapshot, whole).values() if c.pushed or c.deleted]
