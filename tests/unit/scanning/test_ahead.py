"""Reading ahead asks once for what many references share, and keeps no fault for an answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ecrkit.errors import Throttled
from ecrkit.records import RawManifest
from ecrkit.scanning._ahead import read_ahead


class Books:
    """Tags and manifests, and what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.faults = 0

    def digest_of(self, repository: str, tag: str) -> str | None:
        self.asked.append(("tag", repository, tag))
        if self.faults:
            self.faults -= 1
            raise Throttled("Rate exceeded", operation="DescribeImages", code="ThrottlingException")
        return None if tag == "none" else digest(int(tag))

    def manifests(self, repository: str, digests: Iterable[str]) -> Mapping[str, RawManifest]:
        listed = list(digests)
        self.asked.append(("manifests", repository, str(len(listed))))
        return {d: RawManifest(digest=d, media_type="m", text="{}") for d in listed}


class InOrder:
    def each(self, work: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        for item in items:
            yield item, work(item)


def digest(number: int) -> str:
    return f"sha256:{number:064x}"


def test_a_hundred_manifests_a_call_and_each_only_once() -> None:
    books = Books()
    refs = [f"team/app@{digest(n)}" for n in range(250)]
    _, manifests = read_ahead(refs, tags=books, manifests=books, fan_out=InOrder())
    assert [int(size) for _, _, size in books.asked] == [100, 100, 50]
    assert manifests is not None
    assert all(manifests.manifests("team/app", [digest(n)]) for n in range(250)) and len(books.asked) == 3
    assert digest(999) in manifests.manifests("team/app", [digest(1), digest(999)])
    assert books.asked[3:] == [("manifests", "team/app", "1")]


def test_the_manifest_of_a_tag_is_read_ahead_too() -> None:
    books = Books()
    tags, manifests = read_ahead(["a/b:7", "a/b:none", "a/b:7"], tags=books, manifests=books, fan_out=InOrder())
    assert tags is not None and manifests is not None
    assert (tags.digest_of("a/b", "7"), tags.digest_of("a/b", "none")) == (digest(7), None)
    assert manifests.manifests("a/b", [digest(7)])
    assert books.asked == [("tag", "a/b", "7"), ("tag", "a/b", "none"), ("manifests", "a/b", "1")]


def test_a_fault_is_no_missing_tag() -> None:
    books = Books()
    books.faults = 1
    tags, _ = read_ahead(["a/b:7"], tags=books, manifests=None, fan_out=InOrder())
    assert tags is not None and tags.digest_of("a/b", "7") == digest(7)
