"""Kubernetes' own webhook protocol, `AdmissionReview` of `admission.k8s.io/v1`.

The API server wants the uid back, HTTP status 200 also for a denial, and warnings of at most 120 characters, of which
it drops what goes beyond 4096 in all. An update is judged on the images it brings in: an object with an old image must
stay changeable, or controllers could not take their finalizers off it.
Source: Kubernetes documentation, Dynamic Admission Control.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any, Final

import attrs

from ecrkit.admission.decisions import Decision, Question
from ecrkit.admission.gatekeeper import Ask
from ecrkit.admission.strict_json import ProtocolError, Reply, read_object, refuse, to_bytes
from ecrkit.deployments.pod_specs import images_of
from ecrkit.errors import Problem

__all__ = ["API_VERSION", "Review", "answer", "denial", "error_reply", "reply_to", "review_of", "warnings_of"]

API_VERSION: Final = "admission.k8s.io/v1"

_WARNING: Final = 120
_ALL_WARNINGS: Final = 4096
_MESSAGE: Final = 4000
_ANNOTATION: Final = 2000
_UID: Final = 256
_MOST_IMAGES: Final = 512
_GROUPS: Final = {
    "": ("Pod", "PodTemplate", "ReplicationController"),
    "apps": ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"),
    "batch": ("Job", "CronJob"),
}
_UNPRINTABLE: Final = re.compile(r"[^\x20-\x7e]+")


def _problems(values: Iterable[Problem]) -> tuple[Problem, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class Review:
    """What a request asks to be judged: the images that the object brings in.

    `problems` are why it is denied without asking; `judged` is False for operations that bring in no image at all.
    """

    uid: str
    operation: str = ""
    kind: str = ""
    name: str = ""
    namespace: str | None = None
    images: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = attrs.field(default=(), converter=_problems)
    judged: bool = True


def review_of(body: bytes, *, most: int) -> Review:
    """Return what an AdmissionReview asks.

    Once the uid is known every fault is a problem of the review, so that the API server gets an answer that it can
    read; before that it is a protocol error.

    Raises:
        ProtocolError: the body is no AdmissionReview of `admission.k8s.io/v1` with a request and a uid.
    """
    raw = read_object(body, most=most)
    for member, wanted in (("apiVersion", API_VERSION), ("kind", "AdmissionReview")):
        if raw.get(member) != wanted:
            refuse(f"$.{member}", f"must be {wanted}, not {raw.get(member)!r:.80}")
    request = raw.get("request")
    if not isinstance(request, dict):
        refuse("$.request", "must be an object")
    uid = request.get("uid")
    if not isinstance(uid, str) or not 0 < len(uid) <= _UID:
        refuse("$.request.uid", f"must be a text of 1 to {_UID} characters")
    return _judged(uid, request)


def _judged(uid: str, request: dict[str, Any]) -> Review:
    operation, kind, group = request.get("operation"), *_kind(request.get("kind"))
    namespace = request.get("namespace")
    if operation in ("DELETE", "CONNECT"):
        return Review(uid=uid, operation=str(operation), kind=kind, judged=False)
    problems: list[Problem] = []
    if operation not in ("CREATE", "UPDATE"):
        problems.append(Problem("$.request.operation", f"{operation!r:.40} is not known here"))
    if namespace is not None and not isinstance(namespace, str):
        problems.append(Problem("$.request.namespace", "must be a text"))
        namespace = None
    if kind not in _GROUPS.get(group, ()):
        named = f"{group}/{kind}".lstrip("/") or "nothing"
        problems.append(Problem("$.request.kind", f"{named:.100} has no Pod template that is known here"))
    review = Review(uid=uid, operation=str(operation)[:40], kind=kind, namespace=namespace or None, problems=problems)
    if problems:
        return review
    found = images_of(request.get("object"), kind=kind, namespace=namespace, path="$.request.object")
    images = found.references
    if operation == "UPDATE":
        before = images_of(request.get("oldObject"), kind=kind, namespace=namespace)
        images = tuple(i for i in images if i not in before.references)
    if len(images) > _MOST_IMAGES:
        return attrs.evolve(review, problems=(Problem("$.request.object", f"names more than {_MOST_IMAGES} images"),))
    return attrs.evolve(review, images=images, problems=found.problems, name=_name(request))


def _kind(raw: object) -> tuple[str, str]:
    if not isinstance(raw, dict):
        return "", ""
    kind, group = raw.get("kind"), raw.get("group", "")
    return (kind if isinstance(kind, str) else "", group if isinstance(group, str) else "?")


def _name(request: dict[str, Any]) -> str:
    name = request.get("name")
    return name[:253] if isinstance(name, str) else ""


def answer(review: Review, decisions: Sequence[Decision]) -> bytes:
    """Return the AdmissionReview for a review and the decisions on its images, one for each."""
    if review.problems:
        return denial(review.uid, "; ".join(str(p) for p in review.problems))
    if len(decisions) != len(review.images):
        return denial(review.uid, "not every image was judged")
    refused = [d for d in decisions if not d.allowed]
    told = [d for d in decisions if d.would_deny or (d.outcome == "pass" and d.answered == "policy")]
    response: dict[str, Any] = {"uid": review.uid, "allowed": not refused}
    if refused:
        response["status"] = _status("; ".join(d.message for d in refused))
    warnings = warnings_of([*(_warning(d) for d in told), *(d.message for d in refused if d.answered == "stale")])
    if warnings:
        response["warnings"] = list(warnings)
    if decisions:
        response["auditAnnotations"] = {"verdicts": _verdicts(decisions)}
    return _review(response)


def _warning(decision: Decision) -> str:
    return f"would be denied: {decision.message}" if decision.would_deny else decision.message


def _verdicts(decisions: Iterable[Decision]) -> str:
    text = " ".join(
        f"{d.image}={d.outcome}{'(audit)' if d.would_deny else ''}{f'@{d.digest}' if d.digest else ''}"
        for d in decisions
    )
    return _plain(text, _ANNOTATION)


def denial(uid: str, message: str, *, code: int = HTTPStatus.FORBIDDEN) -> bytes:
    """Return the AdmissionReview that denies."""
    return _review({"uid": uid, "allowed": False, "status": _status(message, code)})


def _status(message: str, code: int = HTTPStatus.FORBIDDEN) -> dict[str, Any]:
    return {"code": int(code), "message": _plain(message, _MESSAGE)}


def _review(response: dict[str, Any]) -> bytes:
    return to_bytes({"apiVersion": API_VERSION, "kind": "AdmissionReview", "response": response})


def warnings_of(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the texts as warnings that the API server passes on whole.

    They are printable, of at most 120 characters, and of 4096 in all; what does not fit is counted in the last one.

    Example:
        >>> warnings_of(["x" * 200])[0][-5:], len(warnings_of(["x" * 200])[0])
        ('xx...', 120)
    """
    made = [_plain(text, _WARNING) for text in dict.fromkeys(texts)]
    room = _ALL_WARNINGS - _WARNING
    kept: list[str] = []
    for text in made:
        if len(text) > room:
            return (*kept, f"and {len(made) - len(kept)} more warnings")
        room -= len(text)
        kept.append(text)
    return tuple(kept)


def _plain(text: str, most: int) -> str:
    # Warnings travel in HTTP headers: a line break in one would begin another.
    clean = _UNPRINTABLE.sub(" ", text)
    return clean if len(clean) <= most else clean[: most - 3] + "..."


def error_reply(fault: str, status: int) -> Reply:
    """Return the HTTP error for a request without a uid to answer to; the API server takes it as a failure."""
    return Reply(status, to_bytes({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status,
                                   "message": _plain(fault, _MESSAGE)}))  # fmt: skip


def reply_to(body: bytes, ask: Ask, *, most: int, profile: str | None = None) -> Reply:
    """Return the answer to a request's body; what cannot be read is denied, or an HTTP error when it has no uid."""
    try:
        review = review_of(body, most=most)
    except ProtocolError as fault:
        return error_reply(str(fault), fault.status)
    if not review.judged:
        return Reply(HTTPStatus.OK, _review({"uid": review.uid, "allowed": True}))
    questions = [Question(image=i, namespace=review.namespace, profile=profile) for i in review.images]
    decisions = ask(questions) if questions and not review.problems else ()
    return Reply(HTTPStatus.OK, answer(review, decisions))
