"""Which repositories of a live registry can be read from outside: every repository's policy, and the registry's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit.access.documents import PolicyDocument
from ecrkit.access.exposure import Exposure, readable_from_outside
from ecrkit.errors import AwsCallFailed, InvalidInput, NotFound
from ecrkit.ports import FanOut, OnProgress, RepositorySource, ResourcePolicyStore
from ecrkit.records import Progress

__all__ = ["OutsideReport", "survey"]

_PAGE: Final = 1000


@attrs.frozen(kw_only=True)
class OutsideReport(Record):
    """Every way in from outside. An exposure of the repository `*` comes from the registry policy.

    `unreadable` maps what could not be read to the reason: of these nobody knows. `calls` counts the calls made,
    without repeats after throttles.
    """

    exposures: tuple[Exposure, ...]
    repositories: int
    calls: int
    unreadable: dict[str, str] = attrs.field(factory=dict, hash=False)

    @property
    def closed(self) -> bool:
        """Whether nobody outside can read anything, for certain; what could not be read is no yes."""
        return not self.exposures and not self.unreadable


def survey(
    repositories: RepositorySource,
    store: ResourcePolicyStore,
    fan_out: FanOut,
    *,
    account: str,
    organization: str | None,
    accounts: Iterable[str],
    on_progress: OnProgress | None,
) -> OutsideReport:
    """Return who outside can read which repository of the registry."""
    names = [r.name for r in repositories.repositories()]
    calls = max(1, -(-len(names) // _PAGE)) + len(names) + 1
    found: dict[str, PolicyDocument | str | None] = {}
    unreadable: dict[str, str] = {}

    def read(name: str) -> str | AwsCallFailed | None:
        try:
            return store.repository_policy(name)
        except NotFound:
            return None  # deleted since the listing
        except AwsCallFailed as fault:
            return fault

    for done, (name, answer) in enumerate(fan_out.each(read, names), 1):
        if isinstance(answer, AwsCallFailed):
            unreadable[name] = str(answer)
        else:
            found[name] = answer
        if on_progress is not None:
            on_progress(Progress(done=done, total=len(names), what="repository policies"))
    try:
        text = store.registry_policy()
        found["*"] = None if text is None else PolicyDocument.read(text, kind="registry")
    except (AwsCallFailed, InvalidInput) as fault:
        unreadable["*"] = str(fault)
    ways = readable_from_outside(found, account=account, organization=organization, accounts=accounts)
    return OutsideReport(
        exposures=ways, repositories=len(names), calls=calls, unreadable=dict(sorted(unreadable.items()))
    )
