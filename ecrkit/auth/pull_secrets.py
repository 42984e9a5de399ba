"""Image pull secrets of Kubernetes, and how far they are from expiry.

Source: Kubernetes documentation, "Pull an Image from a Private Registry" and "Secrets" (size limit).
"""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit._internal.times import iso, parse_time, require_aware
from ecrkit.auth.docker_config import docker_config
from ecrkit.auth.hosts import Targets
from ecrkit.auth.manifests import EXPIRES_AT, REFRESH_AT, Advice, Manifest, metadata, name_problems, refuse
from ecrkit.auth.tokens import Token
from ecrkit.errors import Problem

__all__ = ["PullSecretState", "image_pull_secret", "pull_secret_state"]

_TYPE: Final = "kubernetes.io/dockerconfigjson"
_LARGEST: Final = 1024 * 1024


def image_pull_secret(
    name: str,
    hosts: Targets,
    tokens: Token | Iterable[Token],
    *,
    namespace: str | None = None,
    all_forms: bool = False,
    labels: Mapping[str, str] | None = None,
) -> Manifest:
    """Return a Secret of type `kubernetes.io/dockerconfigjson`, annotated with when it expires.

    It must be written again before `advice.refresh_at`: a secret made once works for 12 hours and then fails with
    `DENIED: Your authorization token has expired. Reauthenticate and try again.`

    Raises:
        InvalidInput: a name that Kubernetes refuses, a host without token, or more than 1 MiB of data.

    Example:
        >>> from ecrkit import Registry
        >>> with Registry.local(account="123456789012", region="eu-west-1") as registry:
        ...     made = image_pull_secret(
        ...         "ecr", ["123456789012.dkr.ecr.eu-west-1.amazonaws.com"], registry.auth.token(), namespace="shop"
        ...     )
        >>> made.document["metadata"]["annotations"]["ecrkit/expires-at"]
        '2026-01-01T12:00:00Z'
    """
    refuse("no image pull secret", name_problems(name=name, namespace=namespace))
    config = docker_config(hosts, tokens, all_forms=all_forms)
    stops_at, refresh_at = config.advice.stops_at, config.advice.refresh_at
    assert stops_at is not None
    assert refresh_at is not None
    meta = metadata(name, namespace, {EXPIRES_AT: iso(stops_at), REFRESH_AT: iso(refresh_at)})
    if labels:
        meta["labels"] = dict(labels)
    size = len(config.to_json().encode())
    if size > _LARGEST:
        refuse("no image pull secret", [Problem("hosts", f"{size} bytes; Kubernetes takes {_LARGEST} in a Secret")])
    return Manifest(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": meta,
            "type": _TYPE,
            "data": {".dockerconfigjson": base64.b64encode(config.to_json().encode()).decode("ascii")},
        },
        what=f"image pull secret {f'{namespace}/' if namespace else ''}{name}",
        secret=True,
        advice=Advice(
            stops_working="It stops working when the token expires, 12 hours after it was issued; nothing in "
            "Kubernetes renews it.",
            instead="On EKS nodes leave it out: the kubelet's ecr-credential-provider pulls with the node role, and on "
            "Fargate the pod execution role pulls. Elsewhere write it again at half life, or let External Secrets do "
            "it with ecr_external_secret().",
            stops_at=stops_at,
            refresh_at=refresh_at,
        ),
    )


@attrs.frozen(kw_only=True)
class PullSecretState(Record):
    """How far a pull secret is from expiry; `unknown` when nothing tells, and then it is not to be trusted."""

    state: Literal["fresh", "refresh", "expired", "unknown"]
    reason: str
    expires_at: dt.datetime | None = None
    refresh_at: dt.datetime | None = None


def pull_secret_state(secret: Mapping[str, Any], *, now: dt.datetime) -> PullSecretState:
    """Return how far a Secret is from expiry, by the annotations of `image_pull_secret`. The data is not looked at.

    A secret without them is unknown: a registry password does not say when it expires.

    Example:
        >>> import datetime as dt
        >>> pull_secret_state({"kind": "Secret"}, now=dt.datetime(2026, 1, 1, tzinfo=dt.UTC)).state
        'unknown'
    """
    now = require_aware(now, "now")
    meta = secret.get("metadata")
    notes = meta.get("annotations") if isinstance(meta, Mapping) else None
    notes = notes if isinstance(notes, Mapping) else {}
    expires, refresh = _time(notes.get(EXPIRES_AT)), _time(notes.get(REFRESH_AT))
    if expires is None:
        said = "has a malformed" if EXPIRES_AT in notes else "has no"
        reason = f"{said} annotation {EXPIRES_AT}; an ECR token in it works for 12 hours from when it was issued"
        return PullSecretState(state="unknown", reason=reason)
    if now >= expires:
        return PullSecretState(
            state="expired",
            reason=f"the token expired at {iso(expires)}: pulls fail with 'Your authorization token has expired'",
            expires_at=expires,
            refresh_at=refresh,
        )
    if refresh is None or now >= refresh:
        when = f"was due at {iso(refresh)}" if refresh is not None else "is due, since the secret does not say when"
        return PullSecretState(state="refresh", reason=f"a new token {when}", expires_at=expires, refresh_at=refresh)
    return PullSecretState(state="fresh", reason=f"works until {iso(expires)}", expires_at=expires, refresh_at=refresh)


def _time(value: object) -> dt.datetime | None:
    try:
        return parse_time(value) if isinstance(value, str) else None
    except ValueError:
        return None
