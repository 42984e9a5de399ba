"""Many registries asked as one."""

from __future__ import annotations

import pytest

from ecrkit.errors import InvalidInput
from ecrkit.snapshot import Estate, Gap, NotRead, RepositorySnapshot, Where
from tests.support.snapshots import NOW, record, repository, snapshot

GAP = Gap(what="images", repository="dark", error="denied", call="DescribeImages")


@pytest.fixture
def estate() -> Estate:
    dark = RepositorySnapshot(repository=record("dark"), read_at=NOW, gaps=[GAP])
    return Estate([
        snapshot(repository("team/app", images=1), region="us-east-1"),
        snapshot(repository("team/app", images=2), repository("team/web"), dark),
    ])  # fmt: skip


def test_repositories_of_every_registry(estate):
    assert [str(where) for where in estate] == [
        "123456789012/eu-west-1/dark", "123456789012/eu-west-1/team/app", "123456789012/eu-west-1/team/web",
        "123456789012/us-east-1/team/app",
    ]  # fmt: skip
    assert len(estate) == 4 == len(estate.repositories) == len(estate.to_columns()["repository"])
    where = Where("123456789012", "us-east-1", "team/app")
    assert where in estate and len(estate[where].images) == 1
    assert Where("123456789012", "us-east-1", "dark") not in estate and "dark" not in estate
    assert estate.find("*app") == (Where("123456789012", "eu-west-1", "team/app"), where)
    assert estate.tags[where] == {"Team": "a"} and len(estate.tags) == 3


def test_gaps_are_told_by_every_query(estate):
    assert estate.gaps == (("123456789012", "eu-west-1", GAP),) and not estate.complete
    digest = estate.snapshots["123456789012", "us-east-1"]["team/app"].images[0].digest
    for ask in (estate.inventories, lambda: estate.holding(digest)):
        with pytest.raises(NotRead, match="denied"):
            ask()
    assert {str(where) for where, _ in estate.holding(digest, gaps="skip")} == {
        "123456789012/eu-west-1/team/app", "123456789012/us-east-1/team/app",
    }  # fmt: skip
    assert [len(inventory) for _, inventory in estate.inventories(gaps="skip")] == [2, 2, 1]


def test_one_registry_has_one_snapshot():
    with pytest.raises(InvalidInput, match="two snapshots"):
        Estate([snapshot(), snapshot()])


def test_files(estate, tmp_path):
    paths = [s.save(tmp_path / f"{n}") for n, s in enumerate(estate.snapshots.values())]
    assert Estate.load(paths).snapshots == estate.snapshots
    assert len(estate.to_pandas()) == 4
    assert "eu-west-1" in estate._repr_html_() and "4 repositories" in repr(estate)
