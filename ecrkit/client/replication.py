"""What replication needs of policies: both sides' documents, and whether a destination's registry policy lets it in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ecrkit.access import presets, sharing
from ecrkit.access.documents import PolicyDocument
from ecrkit.access.evaluate import Policies, Request, evaluate
from ecrkit.access.scope import Scope
from ecrkit.replication.configuration import Destination

__all__ = ["documents", "policy_allows"]

_EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


def documents(
    source: Destination, destination: Destination, prefixes: tuple[str, ...]
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return the policy of whoever configures the source, and the registry policy of the destination.

    Example:
        >>> home, away = Destination("us-east-1", "123456789012"), Destination("eu-west-1", "210987654321")
        >>> documents(home, away, ("prod/",))[1]["Statement"][0]["Resource"]
        'arn:aws:ecr:eu-west-1:210987654321:repository/prod/*'
    """
    patterns = [f"{prefix}*" for prefix in prefixes] or ["*"]
    here = Scope(source.account, source.region, patterns)
    there = Scope(destination.account, destination.region, patterns)
    identity = presets.replication_source(here).to_dict()
    return identity, sharing.replication_destination(there, source.account).to_dict()


def policy_allows(source: Destination, destination: Destination, text: str | None) -> Callable[[str, str], bool | None]:
    """Return what answers whether a registry policy lets the source account do an action on a repository there.

    The source account's own policies and those of its organization are taken to allow it. None stands for a condition
    that cannot be decided without a request.
    """
    partition = Scope(source.account, source.region).partition
    root = f"arn:{partition}:iam::{source.account}:root"
    document = None if text is None else PolicyDocument.read(text, kind="registry")
    policies = Policies(identity=[_EVERYTHING], registry=document, registry_scope="V2")

    def allows(action: str, repository: str) -> bool | None:
        arn = f"arn:{partition}:ecr:{destination.region}:{destination.account}:repository/{repository}"
        decision = evaluate(Request.build(root, action, arn, unknown=["*"]), policies)
        return None if decision.outcome == "Unknown" else decision.allowed

    return allows
