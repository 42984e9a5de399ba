"""One rule of a lifecycle policy, as a record."""

from __future__ import annotations

from typing import Any, Literal

import attrs
from typing_extensions import override

from ecrkit._internal.jsonio import Record
from ecrkit.records import StorageClass

__all__ = ["Action", "CountType", "Rule", "TagStatus"]

TagStatus = Literal["tagged", "untagged", "any"]
CountType = Literal["imageCountMoreThan", "sinceImagePushed", "sinceImagePulled", "sinceImageTransitioned"]
Action = Literal["expire", "transition"]


@attrs.frozen(kw_only=True)
class Rule(Record):
    """One valid rule. Each of its tag entries must match some tag of an image: ECR reads a list as *and*.

    `count_number` counts images for `imageCountMoreThan` and days of 24 hours otherwise.
    Source: ECR user guide, lifecycle policy parameters.
    """

    priority: int
    tag_status: TagStatus
    count_type: CountType
    count_number: int
    action: Action = "expire"
    tag_patterns: tuple[str, ...] = ()
    tag_prefixes: tuple[str, ...] = ()
    storage_class: StorageClass = "standard"
    description: str | None = None

    @property
    def tag_entries(self) -> tuple[str, ...]:
        """The entries of the list that the rule uses, patterns or prefixes."""
        return self.tag_patterns or self.tag_prefixes

    @property
    def meaning(self) -> tuple[object, ...]:
        """What the rule does, without what has no effect: the description and the order of its entries."""
        return (
            self.priority, self.tag_status, self.count_type, self.count_number, self.action,
            tuple(sorted(set(self.tag_patterns))), tuple(sorted(set(self.tag_prefixes))), self.storage_class,
        )  # fmt: skip

    def to_policy(self) -> dict[str, Any]:
        """Return the rule as policy text has it: no nulls, no empty lists, `storageClass` only for archive."""
        out: dict[str, Any] = {"rulePriority": self.priority}
        if self.description is not None:
            out["description"] = self.description
        selection: dict[str, Any] = {"tagStatus": self.tag_status}
        if self.tag_patterns:
            selection["tagPatternList"] = list(self.tag_patterns)
        if self.tag_prefixes:
            selection["tagPrefixList"] = list(self.tag_prefixes)
        if self.storage_class == "archive":
            selection["storageClass"] = "archive"
        selection["countType"] = self.count_type
        if self.count_type != "imageCountMoreThan":
            selection["countUnit"] = "days"
        selection["countNumber"] = self.count_number
        out["selection"] = selection
        out["action"] = {"type": self.action}
        if self.action == "transition":
            out["action"]["targetStorageClass"] = "archive"
        return out

    @override
    def __str__(self) -> str:
        what = {"tagged": "images tagged ", "untagged": "untagged images", "any": "all images"}[self.tag_status]
        if self.tag_status == "tagged":
            suffix = "" if self.tag_patterns else "*"
            what += " and ".join(f"{e}{suffix}" for e in self.tag_entries)
        if self.storage_class == "archive":
            what = f"archived {what}"
        when = {
            "imageCountMoreThan": f"beyond the newest {self.count_number}",
            "sinceImagePushed": f"pushed more than {self.count_number} days ago",
            "sinceImagePulled": f"not pulled for {self.count_number} days",
            "sinceImageTransitioned": f"archived more than {self.count_number} days ago",
        }[self.count_type]
        verb = "expire" if self.action == "expire" else "archive"
        return f"rule {self.priority}: {verb} {what} {when}"
