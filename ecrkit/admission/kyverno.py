"""The HTTP call of Kyverno policies: a ClusterPolicy's `apiCall.service`, or `http.Post` of a ValidatingPolicy.

The request is `{"images": [...], "namespace": "...", "profile": "..."}`, the last two optional; it is ours, so a member
that is not known is refused: a misspelt namespace would choose another profile. The answer always holds the boolean
`allowed` and the text `message`: Kyverno's operators say "not met" of anything missing, which would admit.
Sources: Kyverno documentation, External Data Sources; kyverno/kyverno pkg/engine/variables/operator.
"""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

from ecrkit.admission.decisions import Decision, Question
from ecrkit.admission.gatekeeper import Ask
from ecrkit.admission.strict_json import ProtocolError, Reply, read_object, refuse, to_bytes

__all__ = ["answer", "error_reply", "questions_of", "reply_to"]

_MOST_IMAGES: Final = 512
_MEMBERS: Final = ("images", "namespace", "profile")


def questions_of(body: bytes, *, most: int, profile: str | None = None) -> tuple[Question, ...]:
    """Return the questions of a call, one for each image.

    Raises:
        ProtocolError: the body is no such call. It must name at least one image: an empty list comes from an expression
            that found no containers, not from a Pod.

    Example:
        >>> questions_of(b'{"images": ["nginx:1"], "namespace": "pay"}', most=1000)
        (Question(image='nginx:1', namespace='pay', profile=None),)
    """
    raw = read_object(body, most=most)
    for member in raw:
        if member not in _MEMBERS:
            refuse(f"$.{member:.80}", f"is not known here; known are {', '.join(_MEMBERS)}")
    images = raw.get("images")
    if not isinstance(images, list) or not images:
        refuse("$.images", "must be a list of at least one image")
    if len(images) > _MOST_IMAGES:
        refuse("$.images", f"holds more than {_MOST_IMAGES} images", status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    for number, image in enumerate(images):
        if not isinstance(image, str) or not image:
            refuse(f"$.images[{number}]", "must be the text of an image")
    for member in ("namespace", "profile"):
        if raw.get(member) is not None and not isinstance(raw[member], str):
            refuse(f"$.{member}", "must be a text")
    named = raw.get("profile") or profile
    return tuple(
        Question(image=i, namespace=raw.get("namespace") or None, profile=named) for i in dict.fromkeys(images)
    )


def answer(decisions: Iterable[Decision]) -> bytes:
    """Return the answer for all images of one object: allowed only if every one is."""
    found = tuple(decisions)
    told = [d.message for d in found if not d.allowed or d.would_deny]
    allowed = bool(found) and all(d.allowed for d in found)
    return to_bytes(
        {
            "allowed": allowed,
            "message": "; ".join(told) if told else "all images may run" if allowed else "no image was judged",
            "images": [{"image": d.image} | d.to_value() for d in found],
        }
    )


def error_reply(fault: str, status: int) -> Reply:
    """Return the answer that admits nothing."""
    return Reply(status, to_bytes({"allowed": False, "message": fault or "error", "images": []}))


def reply_to(body: bytes, ask: Ask, *, most: int, profile: str | None = None) -> Reply:
    """Return the answer to a call's body; what cannot be read is not allowed, and has the HTTP status that says so."""
    try:
        questions = questions_of(body, most=most, profile=profile)
    except ProtocolError as fault:
        return error_reply(str(fault), fault.status)
    return Reply(HTTPStatus.OK, answer(ask(questions)))
