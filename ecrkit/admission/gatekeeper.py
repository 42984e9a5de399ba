"""Gatekeeper's External Data protocol, `externaldata.gatekeeper.sh/v1beta1`.

A key is an image, `NAMESPACE|IMAGE`, or `PROFILE|NAMESPACE|IMAGE`: Gatekeeper sends nothing but keys, and no image
reference holds a `|`. Gatekeeper ignores the HTTP status and the kind of the answer, and a key that is missing in it
appears nowhere; so each key is echoed exactly, and a request that cannot be read gives a `systemError` and no items.
Sources: Gatekeeper documentation, External Data; open-policy-agent/frameworks, constraint/pkg/externaldata.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from http import HTTPStatus
from typing import Any, Final

from ecrkit.admission.decisions import Decision, Question
from ecrkit.admission.strict_json import ProtocolError, Reply, read_object, refuse, to_bytes

__all__ = ["API_VERSION", "answer", "error_reply", "keys_of", "question_of", "reply_to"]

API_VERSION: Final = "externaldata.gatekeeper.sh/v1beta1"

_MOST_KEYS: Final = 512
_LONGEST_KEY: Final = 2048
Ask = Callable[[Sequence[Question]], Sequence[Decision]]
"""What decides: `VerdictService.decide_all` with its deadline."""


def keys_of(body: bytes, *, most: int, most_keys: int = _MOST_KEYS) -> tuple[str, ...]:
    """Return the keys of a ProviderRequest, in order; the same key may stand twice.

    Raises:
        ProtocolError: the body is no such request, or holds too many keys.

    Example:
        >>> keys_of(b'{"apiVersion":"externaldata.gatekeeper.sh/v1beta1","kind":"ProviderRequest",'
        ...         b'"request":{"keys":["pay|nginx"]}}', most=1000)
        ('pay|nginx',)
    """
    raw = read_object(body, most=most)
    for member, wanted in (("apiVersion", API_VERSION), ("kind", "ProviderRequest")):
        if raw.get(member) != wanted:
            refuse(f"$.{member}", f"must be {wanted}, not {raw.get(member)!r:.80}")
    request = raw.get("request")
    if not isinstance(request, dict):
        refuse("$.request", "must be an object")
    keys = request.get("keys")
    if not isinstance(keys, list):
        refuse("$.request.keys", "must be a list of keys")
    if len(keys) > most_keys:
        refuse("$.request.keys", f"holds more than {most_keys} keys", status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    for number, key in enumerate(keys):
        if not isinstance(key, str):
            refuse(f"$.request.keys[{number}]", f"must be a text, not {type(key).__name__}")
    return tuple(keys)


def question_of(key: str, *, profile: str | None = None) -> Question | str:
    """Return the question that a key stands for, or what is wrong with the key; `profile` is used when it names none.

    Example:
        >>> question_of("pay|nginx:1")
        Question(image='nginx:1', namespace='pay', profile=None)
        >>> question_of("strict||nginx:1").profile
        'strict'
    """
    parts = key.split("|")
    if len(key) > _LONGEST_KEY:
        return f"the key has more than {_LONGEST_KEY} characters"
    if len(parts) > 3 or not parts[-1]:
        return "a key is IMAGE, NAMESPACE|IMAGE or PROFILE|NAMESPACE|IMAGE"
    namespace = parts[-2] if len(parts) > 1 else ""
    named = parts[0] if len(parts) == 3 else ""
    return Question(image=parts[-1], namespace=namespace or None, profile=named or profile)


def answer(keys: Iterable[str], ask: Ask, *, profile: str | None = None) -> bytes:
    """Return the ProviderResponse for the keys: an item for each, in order.

    A pass, a fail and a skipped image have a value with `allowed`; what is undetermined has an error, unless it is
    admitted for being audited only. The answer is the same for the same verdicts, so it is marked idempotent.
    """
    wanted = tuple(keys)
    questions = {key: question_of(key, profile=profile) for key in wanted}
    asked = list(dict.fromkeys(q for q in questions.values() if isinstance(q, Question)))
    decisions = dict(zip(asked, ask(asked), strict=True)) if asked else {}
    items = []
    for key in wanted:
        question = questions[key]
        items.append({"key": key, "error": question} if isinstance(question, str) else _item(key, decisions[question]))
    return _response(items, "")


def _item(key: str, decision: Decision) -> dict[str, Any]:
    if decision.outcome == "undetermined" and not decision.allowed:
        return {"key": key, "error": f"undetermined: {decision.reason}"}
    return {"key": key, "value": decision.to_value() | {"reason": decision.message}}


def _response(items: list[dict[str, Any]], fault: str) -> bytes:
    return to_bytes(
        {
            "apiVersion": API_VERSION,
            "kind": "ProviderResponse",
            "response": {"idempotent": True, "items": items, "systemError": fault},
        }
    )


def error_reply(fault: str, status: int) -> Reply:
    """Return the ProviderResponse that says that nothing could be answered."""
    return Reply(status, _response([], fault or "error"))


def reply_to(body: bytes, ask: Ask, *, most: int, profile: str | None = None) -> Reply:
    """Return the answer to a request's body; what cannot be read gets a `systemError`, and never a value."""
    try:
        keys = keys_of(body, most=most)
    except ProtocolError as fault:
        return error_reply(str(fault), fault.status)
    return Reply(HTTPStatus.OK, answer(keys, ask, profile=profile))
