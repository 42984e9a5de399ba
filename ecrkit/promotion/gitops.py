"""References in files pinned to digests, or moved to another Region or registry: planned, shown, then written.

The files are those of a Git repository that a tool such as Argo CD or Flux applies: Kubernetes objects, Kustomize
files, Helm values, Dockerfiles. Whatever is no reference stays byte for byte (`ecrkit.deployments.files`).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeAlias

import attrs

from ecrkit.deployments.files import ChangeReference, FolderPlan, Place, Rewritten, plan_folder, rewrite_text
from ecrkit.errors import EcrkitError, InvalidInput, InvalidReference
from ecrkit.refs import ImageRef, RegistryHost, Tag

__all__ = [
    "DigestOf",
    "in_region",
    "pin_folder",
    "pin_text",
    "pinned_to",
    "region_folder",
    "region_text",
]

DigestOf: TypeAlias = "Callable[[ImageRef], str | None]"
"""Resolves a reference by tag to its digest, or None when there is no such image."""


def _ecr(place: Place) -> ImageRef | None:
    """Return the reference when it is in private ECR, else None."""
    try:
        found = ImageRef.parse(place.reference)
    except InvalidReference:
        return None
    return found if found.registry is not None and not found.registry.public else None


def pinned_to(digest_of: DigestOf, *, keep_tag: bool = False, again: bool = False) -> ChangeReference:
    """Return the change that pins every reference to private ECR to the digest that its tag names now.

    Each reference is resolved once. Other registries' references are left.

    Args:
        digest_of: resolves a reference, such as `registry.gateway.digest_of` with repository and tag.
        keep_tag: keep the tag in front of the digest, as a remark for people; the digest decides.
        again: resolve the tag of a reference that has a digest already, too.
    """
    known: dict[str, str | InvalidInput] = {}

    def change(place: Place) -> str | None:
        ref = _ecr(place)
        if ref is None or (ref.digest is not None and not (again and ref.tag is not None)):
            return None
        asked = attrs.evolve(ref, tag=ref.tag or Tag("latest"), digest=None)
        answer = known.get(str(asked))
        if answer is None:
            answer = known[str(asked)] = _resolved(digest_of, asked)
        if isinstance(answer, InvalidInput):
            raise answer
        pinned = ref.pinned(answer)
        return str(attrs.evolve(pinned, tag=asked.tag) if keep_tag else pinned)

    return change


def _resolved(digest_of: DigestOf, asked: ImageRef) -> str | InvalidInput:
    try:
        found = digest_of(asked)
    except EcrkitError as fault:
        return InvalidInput.single("cannot be pinned", str(asked), f"cannot be resolved: {fault!s:.200}")
    if found is None:
        return InvalidInput.single("cannot be pinned", str(asked), "there is no such image")
    return found


def in_region(region: str, *, to_account: str | None = None) -> ChangeReference:
    """Return the change that moves every reference to private ECR to another Region, and account if one is given.

    The form of the endpoint (FIPS, dual stack) stays where the Region has it.

    Raises:
        InvalidReference: there is no such Region or account.
    """
    RegistryHost.private(to_account or "123456789012", region)  # a wrong name is told before any file is read

    def change(place: Place) -> str | None:
        ref = _ecr(place)
        if ref is None or ref.registry is None or ref.registry.account is None:
            return None
        host = ref.registry
        moved = RegistryHost.private(
            to_account or str(host.account), region, fips=host.fips, dual_stack=host.dual_stack
        )
        return str(ref.in_registry(moved))

    return change


def pin_folder(
    folder: str | os.PathLike[str],
    digest_of: DigestOf,
    *,
    keep_tag: bool = False,
    again: bool = False,
    digest_in_tag: bool = False,
) -> FolderPlan:
    """Return the plan that pins every reference to private ECR below a folder to the digest that its tag names now.

    A tag that does not exist, and a place that cannot hold a digest, are in the plan's `refused`. Nothing is written
    before `apply`. Arguments as in `pinned_to`; for `digest_in_tag`, see `ecrkit.deployments.files.plan_folder`.

    Raises:
        InvalidInput: there is no such folder.
        MissingExtra: a YAML file is there, and the extra `gitops` is not installed.
    """
    return plan_folder(folder, pinned_to(digest_of, keep_tag=keep_tag, again=again), digest_in_tag=digest_in_tag)


def pin_text(
    name: str,
    text: str,
    digest_of: DigestOf,
    *,
    keep_tag: bool = False,
    again: bool = False,
    digest_in_tag: bool = False,
) -> Rewritten:
    r"""Return one file's text with every reference to private ECR pinned; `name` tells what kind of file it is.

    Raises:
        InvalidInput: the file cannot be read.
        MissingExtra: it is YAML, and the extra `gitops` is not installed.

    Example:
        >>> host = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
        >>> pod = f"apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - image: {host}/app:v1 # ours\n"
        >>> made = pin_text("pod.yaml", pod, lambda ref: "sha256:" + "0" * 64)
        >>> made.after.splitlines()[-1].replace("0" * 60, "...")
        '  - image: 123456789012.dkr.ecr.eu-west-1.amazonaws.com/app@sha256:...0000 # ours'
    """
    change = pinned_to(digest_of, keep_tag=keep_tag, again=again)
    return rewrite_text(name, text, change, digest_in_tag=digest_in_tag)


def region_folder(folder: str | os.PathLike[str], region: str, *, to_account: str | None = None) -> FolderPlan:
    """Return the plan that moves every reference to private ECR below a folder to another Region.

    Whether the images are there is another question: `check_references` answers it.

    Raises:
        InvalidInput: there is no such folder or Region.
        MissingExtra: a YAML file is there, and the extra `gitops` is not installed.
    """
    return plan_folder(folder, in_region(region, to_account=to_account))


def region_text(name: str, text: str, region: str, *, to_account: str | None = None) -> Rewritten:
    """Return one file's text with every reference to private ECR in another Region.

    Raises:
        InvalidInput: the file cannot be read, or there is no such Region.
        MissingExtra: it is YAML, and the extra `gitops` is not installed.

    Example:
        >>> made = region_text("Dockerfile", "FROM 123456789012.dkr.ecr.eu-west-1.amazonaws.com/base:1", "us-east-1")
        >>> made.after
        'FROM 123456789012.dkr.ecr.us-east-1.amazonaws.com/base:1'
    """
    return rewrite_text(name, text, in_region(region, to_account=to_account))
