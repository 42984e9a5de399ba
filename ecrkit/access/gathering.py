"""Bringing together every document that decides about a pull, and saying which of them could not be read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Protocol, runtime_checkable

import attrs

from ecrkit.access.conditions import ContextValue
from ecrkit.access.evaluate import Policies
from ecrkit.errors import AwsCallFailed, InvalidInput
from ecrkit.ports import ResourcePolicyStore
from ecrkit.refs import ImageRef

__all__ = ["DocumentSource", "Gathered", "PrincipalDocuments", "gather"]

_NEVER_READ: Final = (
    ("session", "a session policy"),
    ("service_control", "service control policies of the caller's organisation"),
    ("resource_control", "resource control policies of the image's organisation"),
    ("vpc_endpoint", "the policy of a VPC endpoint"),
)


@attrs.frozen(kw_only=True)
class PrincipalDocuments:
    """What a source knows of a principal: its ARN with the role's path, its policies, condition keys of its requests.

    `policies.unreadable` names the kinds that could not be read in full; `notes` say why.
    """

    principal: str
    policies: Policies
    context: Mapping[str, ContextValue] = attrs.field(factory=dict)
    notes: tuple[str, ...] = ()


class DocumentSource(Protocol):
    """Reads the policies of a user or role."""

    def documents_of(self, principal: str) -> PrincipalDocuments:
        """Return the documents of a user, role or session ARN; what cannot be read is named and never raised."""
        ...


@runtime_checkable
class _Scoped(Protocol):
    def registry_policy_scope(self) -> str: ...


@attrs.frozen(kw_only=True)
class Gathered:
    """Everything that could be read for one principal and one image, and what could not."""

    principal: str
    policies: Policies
    context: Mapping[str, ContextValue]
    notes: tuple[str, ...]


def gather(
    principal: str,
    image: ImageRef,
    *,
    known: Policies | None,
    documents: DocumentSource | None,
    store: ResourcePolicyStore | None,
) -> Gathered:
    """Return the documents that decide, read with read-only calls.

    `known` stands in for what `documents` would read of the principal; `store` holds the policies of the image's
    registry, None when nobody can read there. A kind that cannot be read is `unreadable`, so that the answer is
    unknown wherever it might decide. Kinds that no call tells are noted and taken to take nothing away.
    """
    notes: list[str] = []
    context: Mapping[str, ContextValue] = {}
    if known is not None:
        policies = known
    elif documents is None:
        policies = Policies(unreadable={"identity", "permissions_boundary"})
        notes.append("no source of identity policies: pass policies, or a registry with access to IAM")
    else:
        found = documents.documents_of(principal)
        principal, policies, context = found.principal, found.policies, found.context
        notes += found.notes
    unreadable = set(policies.unreadable)
    private = image.registry is not None and not image.registry.public
    if private and store is None:
        unreadable |= {"repository", "registry"}
        notes.append(f"the policies of {image.registry} could not be read: it is another account's or Region's")
    elif private and store is not None:
        repository = _read(lambda: store.repository_policy(image.repository), "repository", unreadable, notes)
        registry = _read(store.registry_policy, "registry", unreadable, notes)
        policies = attrs.evolve(policies, repository=repository, registry=registry)
        if registry is not None and isinstance(store, _Scoped):
            scope = _read(store.registry_policy_scope, "registry", unreadable, notes)
            policies = attrs.evolve(policies, registry_scope=scope or "V2")
    unread = [words for kind, words in _NEVER_READ if not getattr(policies, kind) and kind not in unreadable]
    if unread:
        notes.append(f"not read, and taken to forbid nothing: {', '.join(unread)}")
    return Gathered(
        principal=principal, policies=attrs.evolve(policies, unreadable=unreadable), context=context, notes=tuple(notes)
    )


def _read(call: Callable[[], str | None], kind: str, unreadable: set[str], notes: list[str]) -> str | None:
    try:
        return call()
    except AwsCallFailed as fault:
        if fault.code == "RepositoryNotFoundException":
            notes.append("there is no such repository: its policy decides nothing, and the pull fails all the same")
            return None
        unreadable.add(kind)
        notes.append(f"the {kind} policy could not be read: {fault}")
    except InvalidInput as fault:
        # ECR answers some questions only about the caller's own registry.
        unreadable.add(kind)
        notes.append(f"the {kind} policy could not be read: {fault}")
    return None
