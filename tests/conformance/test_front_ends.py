from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from moto import mock_aws

from ecrkit.local import client, serve
from ecrkit.local.moto_bridge import bridge
from tests.conformance import scenarios
from tests.conformance.scenarios import SCENARIOS, World, plain
from tests.support.aws_cli import AwsCli
from tests.support.shapes import CheckedEngine

Scenario = Callable[[Any, World], Any]

# A CLI process takes a second or two; these stories need few of them and touch every kind of parameter and answer.
BY_CLI = (
    scenarios.repositories_come_and_go,
    scenarios.a_full_repository_needs_force,
    scenarios.repositories_in_pages,
    scenarios.an_image_is_its_manifest,
    scenarios.a_tag_moves,
    scenarios.an_immutable_tag_stays,
    scenarios.missing_layers_are_named,
    scenarios.failures_beside_images,
    scenarios.ids_by_tag_status,
    scenarios.deleting_tags_and_images,
    scenarios.a_layer_goes_up,
    scenarios.a_layer_comes_down,
    scenarios.a_lifecycle_preview,
    scenarios.archive_and_restore,
    scenarios.referrers_of_an_image,
    scenarios.every_problem_of_a_request,
    scenarios.a_token_opens_the_registry,
    scenarios.a_basic_scan,
    scenarios.enhanced_findings,
)


@contextlib.contextmanager
def by_hook(tmp_path: Path) -> Iterator[tuple[Any, World]]:
    engine = CheckedEngine()
    yield client(engine), World(engine)


@contextlib.contextmanager
def by_http(tmp_path: Path) -> Iterator[tuple[Any, World]]:
    engine = CheckedEngine()
    with serve(engine) as server:
        ecr = boto3.client(
            "ecr", region_name="us-east-1", endpoint_url=server.url, config=Config(retries={"total_max_attempts": 1})
        )
        try:
            yield ecr, World(engine)
        finally:
            ecr.close()


@contextlib.contextmanager
def by_moto(tmp_path: Path) -> Iterator[tuple[Any, World]]:
    with mock_aws(), bridge(CheckedEngine()) as engine:
        yield boto3.client("ecr", region_name="us-east-1"), World(engine)


@contextlib.contextmanager
def by_cli(tmp_path: Path) -> Iterator[tuple[Any, World]]:
    engine = CheckedEngine()
    with serve(engine) as server:
        yield AwsCli(server.url, tmp_path), World(engine)


def play(front: Callable[[Path], Any], scenario: Scenario, tmp_path: Path) -> Any:
    with front(tmp_path) as (ecr, world):
        answers = plain(scenario(ecr, world))
        assert answers, "a story that returns nothing compares nothing"
        return answers


class TestFrontsAgree:
    """One engine, four ways to it: each gives the answers that the client hook gives, which its shapes check."""

    @pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.__name__)
    @pytest.mark.parametrize("front", [by_http, by_moto], ids=lambda f: f.__name__)
    def test_in_process(self, front: Callable[[Path], Any], scenario: Scenario, tmp_path: Path):
        assert play(front, scenario, tmp_path) == play(by_hook, scenario, tmp_path)

    @pytest.mark.parametrize("scenario", BY_CLI, ids=lambda s: s.__name__)
    def test_the_real_aws_cli(self, scenario: Scenario, tmp_path: Path):
        assert play(by_cli, scenario, tmp_path) == play(by_hook, scenario, tmp_path)


def test_every_story_is_listed():
    told = {
        value
        for name, value in vars(scenarios).items()
        if callable(value) and getattr(value, "__module__", "") == scenarios.__name__ and not isinstance(value, type)
    }
    assert told - set(SCENARIOS) == {scenarios.plain, scenarios.refused, scenarios.policy}
