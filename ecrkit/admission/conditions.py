"""What an image must meet beside its gate: signed, not archived, and whatever else a caller can tell.

A condition answers `pass`, `fail` or `undetermined`, and admission takes the worst of gate and conditions. A condition
that raises is undetermined: what nobody could find out is no yes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Protocol

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit.errors import EcrkitError, InvalidInput
from ecrkit.images.manifest import Manifest, kind_of_type
from ecrkit.records import Image, Referrer, SigningStatus
from ecrkit.scanning.rules import Outcome, best, worst

__all__ = [
    "CONDITION_NAMES",
    "SIGNATURE_TYPES",
    "AskedCondition",
    "Condition",
    "ConditionAnswer",
    "EitherSigned",
    "NotArchived",
    "Provenance",
    "Signed",
    "SignedByEcr",
    "from_answer",
]

CONDITION_NAMES: Final = ("base-fresh", "not-archived", "provenance", "signed")
"""The names that a configuration may ask for."""

SIGNATURE_TYPES: Final = (
    "application/vnd.cncf.notary.signature",
    "application/vnd.dev.cosign.artifact.sig.v1+json",
)
"""Artifact types of signatures by Notation and AWS Signer, and by cosign before its bundles."""

# Source: sigstore/cosign, specs/BUNDLE_SPEC.md. The artifact type of a bundle is the media type of its content:
# `application/vnd.dev.sigstore.bundle.v0.3+json`, before that `...bundle+json;version=0.2`. Annotations may tell one
# from another, and need not be there: `...content` is `message-signature` or `dsse-envelope`, `...predicateType` is
# that of the in-toto statement in the envelope. `cosign sign` writes an envelope whose predicate is `_SIGNS` + `v1`.
_BUNDLE: Final = "application/vnd.dev.sigstore.bundle"
_PREDICATE: Final = "dev.sigstore.bundle.predicateType"
_CONTENT: Final = "dev.sigstore.bundle.content"
_SIGNS: Final = "https://sigstore.dev/cosign/sign/"


@attrs.frozen
class ConditionAnswer(Record):
    """What a condition says of one image, and why."""

    outcome: Outcome
    text: str


class Condition(Protocol):
    """Something that an image must meet."""

    @property
    def name(self) -> str:
        """Its name in configurations and reasons."""
        ...

    def __call__(self, repository: str, digest: str) -> ConditionAnswer:
        """Return what holds of the image; may call a registry."""
        ...


@attrs.frozen
class Signed:
    """Whether a signature is stored for the image, as an artifact whose subject it is.

    It proves that a signature is there, not that it is valid or whose it is: to verify one, ask a verifier through
    `from_answer`. A bundle of Sigstore may hold a signature or any attestation; only one whose annotations say that it
    holds a signature counts, and one that says nothing makes it undetermined. Calls: ListImageReferrers once for each
    50 artifacts.
    Archived signatures do not count.
    Source: OCI distribution specification, referrers; ECR user guide, image signing.

    Example:
        >>> Signed(lambda repository, digest: []) ("team/app", "sha256:" + "0" * 64).outcome
        'fail'
    """

    referrers: Callable[[str, str], Iterable[Referrer]]
    types: frozenset[str] = attrs.field(default=frozenset(SIGNATURE_TYPES), kw_only=True)
    name: str = attrs.field(default="signed", init=False)

    def __call__(self, repository: str, digest: str) -> ConditionAnswer:
        """Return pass when there is a signature, fail when there is none, undetermined when a bundle may be one."""
        silent = False
        for referrer in self.referrers(repository, digest):
            # cosign writes media types with parameters and versions of its bundle; the type before them decides.
            kind = _kind(referrer)
            if referrer.status != "ACTIVE":
                continue
            if kind in self.types or _signs(kind, referrer):
                return ConditionAnswer("pass", f"signed ({kind})")
            silent = silent or _is_silent(kind, referrer)
        if silent:
            return ConditionAnswer("undetermined", "a Sigstore bundle of the image does not say what it holds")
        return ConditionAnswer("fail", "there is no signature of the image")


def _kind(referrer: Referrer) -> str:
    return (referrer.artifact_type or referrer.media_type).partition(";")[0].strip()


def _is_silent(kind: str, referrer: Referrer) -> bool:
    """Return whether it is a bundle that tells neither a signature nor the predicate of its statement."""
    return _is_bundle(kind) and not _signs(kind, referrer) and not referrer.annotations.get(_PREDICATE)


def _is_bundle(kind: str) -> bool:
    return kind.startswith((f"{_BUNDLE}.", f"{_BUNDLE}+"))


def _signs(kind: str, referrer: Referrer) -> bool:
    told = referrer.annotations
    signature = told.get(_PREDICATE, "").startswith(_SIGNS) or told.get(_CONTENT) == "message-signature"
    return _is_bundle(kind) and signature


@attrs.frozen
class SignedByEcr:
    """Whether ECR's managed signing has signed the image. Calls: DescribeImageSigningStatus once.

    Every signing profile of the image counts: one that FAILED is a no, one IN_PROGRESS leaves it undetermined, and so
    does an image that no signing profile is for, or a botocore or registry that cannot tell.
    Source: ECR API reference, DescribeImageSigningStatus.

    Example:
        >>> SignedByEcr(lambda repository, digest: []) ("team/app", "sha256:" + "0" * 64).outcome
        'undetermined'
    """

    statuses: Callable[[str, str], Iterable[SigningStatus]]
    name: str = attrs.field(default="signed", init=False)

    def __call__(self, repository: str, digest: str) -> ConditionAnswer:
        """Return pass when every signing profile has signed, fail when one has failed."""
        told = tuple(self.statuses(repository, digest))
        failed = [t for t in told if t.status == "FAILED"]
        if failed:
            why = failed[0].failure_reason or failed[0].failure_code or "no reason was told"
            return ConditionAnswer("fail", f"signing failed: {why:.200}")
        open_ = [t.status for t in told if t.status != "COMPLETE"]
        if open_:
            return ConditionAnswer("undetermined", f"the status of signing is {open_[0]:.40}")
        if not told:
            return ConditionAnswer("undetermined", "ECR tells of no signing of the image")
        return ConditionAnswer("pass", "signed by ECR")


@attrs.frozen
class EitherSigned:
    """Whether one of two ways to tell says that the image is signed; the second is asked when the first does not.

    A no needs both: what one cannot tell stays undetermined.
    """

    first: Condition
    second: Condition
    name: str = attrs.field(default="signed", init=False)

    def __call__(self, repository: str, digest: str) -> ConditionAnswer:
        """Return pass when one passes, fail when both fail, undetermined otherwise."""
        answers: list[ConditionAnswer] = []
        for way in (self.first, self.second):
            try:
                answer = way(repository, digest)
            except EcrkitError as fault:
                answer = ConditionAnswer("undetermined", str(fault))
            if answer.outcome == "pass":
                return answer
            answers.append(answer)
        return ConditionAnswer(_least_known(answers), "; ".join(a.text for a in answers))


def _least_known(answers: Iterable[ConditionAnswer]) -> Outcome:
    return "fail" if all(a.outcome == "fail" for a in answers) else "undetermined"


# Source: BuildKit, docs/attestations/attestation-storage.md (the annotations of entries of an index and of layers);
# in-toto/attestation, spec/v1/envelope.md and bundle.md (`application/vnd.in-toto.<predicate>+dsse`); SLSA, provenance.
_LAYER_PREDICATE: Final = "in-toto.io/predicate-type"
_DESCRIBES: Final = "vnd.docker.reference.digest"
_SLSA: Final = "https://slsa.dev/provenance/"
_PROVENANCE_TYPE: Final = "application/vnd.in-toto.provenance+"


@attrs.frozen
class Provenance:
    """Whether it is recorded how the image was built: a SLSA provenance attestation is stored for it.

    It is an artifact whose subject is the image, or an attestation that buildx stored in the index; an index passes
    when it has one itself or each of its platforms has one. It proves that a record is there, not who wrote it. An
    attestation that does not say what it attests leaves it undetermined.
    For one platform, named without its index, only artifacts count. Calls: BatchGetImage for the image and for each
    attestation whose annotations do not tell, ListImageReferrers for the image and each platform without an entry.
    """

    referrers: Callable[[str, str], Iterable[Referrer]]
    manifest: Callable[[str, str], Manifest | None]
    name: str = attrs.field(default="provenance", init=False)

    def __call__(self, repository: str, digest: str) -> ConditionAnswer:
        """Return pass when there is provenance, fail when there is none."""
        own = self._artifacts(repository, digest)
        if own == "pass":
            return ConditionAnswer("pass", "provenance is recorded")
        read = self.manifest(repository, digest)
        if read is None:
            return ConditionAnswer("undetermined", "its manifest was not read")
        if not read.is_index or not read.platforms:
            return _of_provenance(own)
        proofs: dict[str, list[str]] = {}
        for entry in read.manifests:
            if entry.is_attestation:
                proofs.setdefault(entry.annotations.get(_DESCRIBES, ""), []).append(entry.digest)
        found = worst(self._platform(repository, d, proofs.get(d, ())) for d in {p.digest for p in read.platforms})
        # An attestation of the index itself that cannot be told apart may be what the platforms lack.
        return _of_provenance("undetermined" if found == "fail" and own == "undetermined" else found)

    def _platform(self, repository: str, digest: str, proofs: Iterable[str]) -> Outcome:
        told: list[Outcome] = [self._attested(repository, proof) for proof in proofs]
        return "pass" if "pass" in told else best([*told, self._artifacts(repository, digest)])

    def _artifacts(self, repository: str, digest: str) -> Outcome:
        return best([self._artifact(repository, r) for r in self.referrers(repository, digest)])

    def _artifact(self, repository: str, referrer: Referrer) -> Outcome:
        kind, told = _kind(referrer), referrer.annotations
        if referrer.status != "ACTIVE" or _signs(kind, referrer):
            return "fail"
        predicate = told.get(_LAYER_PREDICATE) or told.get(_PREDICATE)
        if predicate or kind.startswith(_PROVENANCE_TYPE):
            return "pass" if (predicate or _SLSA).startswith(_SLSA) else "fail"
        if not _is_bundle(kind) and kind_of_type(kind) != "attestation":
            return "fail"
        return self._attested(repository, referrer.digest)

    def _attested(self, repository: str, digest: str) -> Outcome:
        read = self.manifest(repository, digest)
        if read is None or not read.layers:
            return "undetermined"
        predicates = [layer.annotations.get(_LAYER_PREDICATE) for layer in read.layers]
        if any(p is not None and p.startswith(_SLSA) for p in predicates):
            return "pass"
        return "undetermined" if None in predicates else "fail"


def _of_provenance(outcome: Outcome) -> ConditionAnswer:
    texts = {
        "pass": "provenance is recorded",
        "fail": "no provenance of the image is recorded",
        "undetermined": "an attestation of the image does not say what it attests, or could not be read",
    }
    return ConditionAnswer(outcome, texts[outcome])


@attrs.frozen
class NotArchived:
    """Whether the image can be pulled: an archived one has to be restored first. Calls: DescribeImages once.

    Source: ECR user guide, archiving images.
    """

    image: Callable[[str, str], Image]
    name: str = attrs.field(default="not-archived", init=False)

    def __call__(self, repository: str, digest: str) -> ConditionAnswer:
        """Return pass for an image that is active."""
        status = self.image(repository, digest).status
        if status == "ACTIVE":
            return ConditionAnswer("pass", "the image is active")
        if status == "ARCHIVED":
            return ConditionAnswer("fail", "the image is archived and cannot be pulled until it is restored")
        if status == "ACTIVATING":
            return ConditionAnswer("undetermined", "the image is being restored")
        return ConditionAnswer("undetermined", f"the status of the image is {status!r:.40}")


@attrs.frozen
class AskedCondition:
    """A condition that another function answers: True for yes, False for no, None for "cannot be told"."""

    name: str
    ask: Callable[[str, str], bool | None]

    def __call__(self, repository: str, digest: str) -> ConditionAnswer:
        """Return what the function says; anything but a plain True or False is undetermined."""
        told = self.ask(repository, digest)
        if told is True:
            return ConditionAnswer("pass", f"{self.name} is met")
        if told is False:
            return ConditionAnswer("fail", f"{self.name} is not met")
        return ConditionAnswer("undetermined", f"{self.name} cannot be told")


def from_answer(name: str, ask: Callable[[str, str], bool | None]) -> AskedCondition:
    """Return the condition of that name which `ask(repository, digest)` answers with True, False or None.

    Raises:
        InvalidInput: the name is empty.

    Example:
        >>> fresh = from_answer("base-fresh", lambda repository, digest: None)
        >>> fresh("team/app", "sha256:" + "0" * 64)
        ConditionAnswer(outcome='undetermined', text='base-fresh cannot be told')
    """
    if not name.strip():
        raise InvalidInput.single("no condition", "name", "must not be empty")
    return AskedCondition(name, ask)
