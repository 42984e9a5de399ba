"""Which IAM actions each gateway method needs.

The actions are not derived from operation names: ListImageReferrers, for one, is authorised by `ecr:BatchGetImage`
(AWS Service Authorization Reference, Amazon ECR).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, TypeVar

__all__ = ["EXCEPTIONS", "action_for", "needs", "permissions"]

F = TypeVar("F", bound=Callable[..., object])

_NEEDS: dict[str, tuple[str, ...]] = {}
_ACTION: Final = re.compile(r"[a-z0-9-]+:[A-Z][A-Za-z0-9]+")

EXCEPTIONS: Final[dict[str, str]] = {
    "ecr:ListImageReferrers": "ecr:BatchGetImage",
}
"""Operations whose IAM action has another name, as `service:Operation` -> action."""


def needs(*actions: str) -> Callable[[F], F]:
    """Return a decorator that records the IAM actions a gateway method needs.

    Raises:
        ValueError: an action is not written `service:Action`.
    """
    for action in actions:
        if not _ACTION.fullmatch(action):
            raise ValueError(f"not an IAM action: {action!r}; write it like ecr:DescribeImages")

    def record(method: F) -> F:
        _NEEDS[method.__qualname__] = tuple(sorted(set(actions)))
        return method

    return record


def permissions() -> dict[str, tuple[str, ...]]:
    """Return the IAM actions by gateway method, such as `EcrImages.images`, sorted by method.

    Only methods of modules that were imported are listed; import `ecrkit.aws.ecr` for the gateway to ECR.

    Example:
        >>> import ecrkit.aws.ecr
        >>> permissions()["EcrManifests.referrers"]
        ('ecr:BatchGetImage',)
    """
    return dict(sorted(_NEEDS.items()))


def action_for(service: str, operation: str) -> str:
    """Return the IAM action that authorises an operation.

    Example:
        >>> action_for("ecr", "ListImageReferrers")
        'ecr:BatchGetImage'
    """
    name = f"{service}:{operation}"
    return EXCEPTIONS.get(name, name)
