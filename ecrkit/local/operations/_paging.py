"""Pages over a sorted list of keys. A token names the last key given out, so that changes in between do no harm."""

from __future__ import annotations

import base64
import binascii
import json
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any

from ecrkit.local.faults import invalid


def token_of(kind: str, last: str) -> str:
    """Return an opaque token that continues the listing `kind` after the key `last`."""
    return base64.urlsafe_b64encode(json.dumps([kind, last]).encode()).decode("ascii")


def last_key(kind: str, token: str) -> str:
    """Return the key that a token stands for; refuse one that this listing did not give out."""
    try:
        found = json.loads(base64.urlsafe_b64decode(token.encode("ascii")))
    except (ValueError, binascii.Error):
        found = None
    if not (isinstance(found, list) and len(found) == 2 and found[0] == kind and isinstance(found[1], str)):
        invalid("nextToken", "Invalid next token")
    key: str = found[1]
    return key


def page(
    keys: Sequence[str],
    params: dict[str, Any],
    kind: str,
    *,
    default: int,
    keep: Callable[[str], bool] | None = None,
) -> tuple[list[str], str | None]:
    """Return one page of the sorted keys that `keep` accepts, and the token of the next page, if there is one."""
    size = params.get("maxResults") or default
    start = 0
    if params.get("nextToken"):
        start = bisect_right(keys, last_key(kind, params["nextToken"]))
    chosen: list[str] = []
    for number in range(start, len(keys)):
        key = keys[number]
        if keep is not None and not keep(key):
            continue
        if len(chosen) == size:
            return chosen, token_of(kind, chosen[-1])
        chosen.append(key)
    return chosen, None
