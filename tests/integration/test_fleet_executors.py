"""Fleet functions on processes and on a real dask cluster: the same results as without, to the byte."""

from __future__ import annotations

import datetime as dt
import multiprocessing
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import pytest

from ecrkit.cost import attribute, by_prefix, storage, waste
from ecrkit.images import Inventory
from ecrkit.lifecycle import FleetItem, build, fleet_run, keep_last
from ecrkit.records import Image
from ecrkit.scanning import Gate, ImageScan, count_limit, judge_many
from tests.support.manifests import CONFIG, blob, image_document, raw
from tests.support.tools import require_module
from tests.unit.scanning.build import finding, report

NOW = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
GATE = Gate([count_limit("CRITICAL", 1), count_limit("HIGH", 5)])


def repository(name, count):
    made = [
        raw(image_document([blob("base", 1000), blob(f"{name}{n}", 50 + n)], config=blob(f"{name}c{n}", 3, CONFIG)))
        for n in range(count)
    ]
    images = [
        Image(digest=m.digest, pushed_at=NOW - n * DAY, tags=(f"v1.{n}",) if n % 3 else (), size=1100)
        for n, m in enumerate(made)
    ]
    kept = made if count % 4 else made[1:]  # every fourth repository has an image that was not read
    return Inventory(images, repository=name).with_manifests(kept)


@pytest.fixture(scope="module")
def inventories():
    return {f"team{n % 7}/app{n}": repository(f"team{n % 7}/app{n}", n % 9) for n in range(80)} | {"lost": None}


@pytest.fixture(scope="module")
def scans():
    made = {f"app:v{n}": report(*[finding(f"CVE-2026-{k}", "CRITICAL") for k in range(n % 3)]) for n in range(80)}
    return made | {"app:lost": ImageScan(problem="not read")}


def everything(inventories, scans, executor):
    """Every fleet function once, in a form that tells all it found."""
    items = [FleetItem(repository=name, inventory=found) for name, found in inventories.items()]
    reader = [lambda part=items[n : n + 50]: part for n in range(0, len(items), 50)] if executor is None else items
    return {
        "storage": storage(inventories, per_image=True, executor=executor).to_json(),
        "attribute": attribute(inventories, by_prefix(), executor=executor).to_json(),
        "waste": waste(inventories, now=NOW, executor=executor).to_json(),
        "lifecycle": fleet_run(build(keep_last(3, prefixes="v")), reader, now=NOW, executor=executor).to_dict(),
        "scans": {
            name: verdict.to_json() for name, verdict in judge_many(GATE, scans, now=NOW, executor=executor).items()
        },
    }


@pytest.fixture(scope="module")
def serial(inventories, scans):
    return everything(inventories, scans, None)


def test_the_results_are_worth_comparing(serial):
    assert serial["lifecycle"]["expired"] > 30
    assert {v.count('"outcome": "undetermined"') > 0 for v in serial["scans"].values()} == {True, False}
    assert list(serial["scans"])[-1] == "app:lost"


def test_threads(inventories, scans, serial):
    with ThreadPoolExecutor(2) as executor:
        assert everything(inventories, scans, executor) == serial


def test_processes(inventories, scans, serial):
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as executor:
        assert everything(inventories, scans, executor) == serial


def test_a_dask_cluster(inventories, scans, serial):
    """`Client.get_executor()` of dask.distributed is an executor of concurrent.futures."""
    with warnings.catch_warnings():
        # Some of what dask imports and opens warns; that is not ours to mend.
        warnings.simplefilter("ignore")
        distributed = require_module("distributed", package="distributed")
        with (
            distributed.LocalCluster(
                n_workers=1, threads_per_worker=2, processes=False, protocol="tcp", host="127.0.0.1", dashboard_address=None,
            ) as cluster,
            distributed.Client(cluster) as client,
            client.get_executor(pure=False) as executor,
        ):  # fmt: skip
            assert everything(inventories, scans, executor) == serial


def test_a_dask_worker_in_another_process(inventories, serial):
    """What crosses to another machine is pickled; a worker in its own process shows that it can be."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        distributed = require_module("distributed", package="distributed")
        with (
            distributed.LocalCluster(
                n_workers=1, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None,
            ) as cluster,
            distributed.Client(cluster) as client,
            client.get_executor(pure=False) as executor,
        ):  # fmt: skip
            assert storage(inventories, per_image=True, executor=executor).to_json() == serial["storage"]
