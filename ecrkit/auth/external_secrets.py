"""External Secrets Operator: a generator of ECR tokens and the ExternalSecret that writes the pull secret.

Source: External Secrets documentation, "ECR" generator and "Common K8S Secret Types".
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from typing import Any, Final

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit.auth.durations import go_duration
from ecrkit.auth.hosts import Targets, hosts_of
from ecrkit.auth.manifests import Advice, Manifest, metadata, name_problems, refuse
from ecrkit.auth.tokens import TokenScope
from ecrkit.errors import InvalidInput, Problem

__all__ = ["ExternalPullSecret", "GeneratorIdentity", "ecr_external_secret"]

_HALF_LIFE: Final = dt.timedelta(hours=6)
_LIFE: Final = dt.timedelta(hours=12)


@attrs.frozen(kw_only=True)
class GeneratorIdentity(Record):
    """Who asks for the tokens: by default the operator's own identity.

    `service_account` (and its namespace, for a ClusterGenerator) assumes its IRSA role; `role` is assumed on top.
    """

    service_account: str | None = None
    service_account_namespace: str | None = None
    role: str | None = None

    def spec(self) -> dict[str, Any]:
        """Return the members of the generator's `spec`."""
        made: dict[str, Any] = {} if self.role is None else {"role": self.role}
        if self.service_account is not None:
            reference = {"name": self.service_account}
            if self.service_account_namespace is not None:
                reference["namespace"] = self.service_account_namespace
            made["auth"] = {"jwt": {"serviceAccountRef": reference}}
        return made


@attrs.frozen
class ExternalPullSecret:
    """The two objects to apply: the generator, and the ExternalSecret that refers to it. Neither holds a secret."""

    generator: Manifest
    external_secret: Manifest

    @property
    def advice(self) -> Advice:
        """When the pull secret stops working, and what to use instead."""
        return self.external_secret.advice

    def manifests(self) -> tuple[Manifest, Manifest]:
        """Return both, in the order to apply them."""
        return self.generator, self.external_secret

    def to_dict(self) -> dict[str, Any]:
        """Return both as one Kubernetes `List`."""
        return {"apiVersion": "v1", "kind": "List", "items": [m.document for m in self.manifests()]}

    def to_json(self, *, indent: int | None = None) -> str:
        """Return `to_dict()` as JSON text, which is YAML too."""
        return json.dumps(self.to_dict(), indent=indent, ensure_ascii=False)


def ecr_external_secret(
    name: str,
    hosts: Targets,
    *,
    namespace: str | None = None,
    all_forms: bool = False,
    refresh_interval: str = "1h",
    identity: GeneratorIdentity | None = None,
    api_version: str = "external-secrets.io/v1",
    labels: Mapping[str, str] | None = None,
) -> ExternalPullSecret:
    """Return an `ECRAuthorizationToken` generator and an ExternalSecret that keeps a pull secret of that name fresh.

    Entries are keyed by the hosts given and not by the generator's `proxy_endpoint`: that is the standard host only,
    and ECR Public has none (`external-secrets#4228`).

    Args:
        name: of the generator, the ExternalSecret and the pull secret.
        hosts: hosts or image references, all of one Region, or all of ECR Public: a generator gives one token.
        namespace: where all three live.
        all_forms: add every documented host form of each registry.
        refresh_interval: a Go duration, below 12h by a margin.
        identity: who asks for the tokens.
        api_version: `external-secrets.io/v1beta1` for operators before 0.17.
        labels: of the ExternalSecret.

    Raises:
        InvalidInput: hosts of several Regions or kinds, a name that Kubernetes refuses, or too long an interval.

    Example:
        >>> made = ecr_external_secret("ecr-public", ["public.ecr.aws"])
        >>> made.generator.document["spec"]
        {'region': 'us-east-1', 'scope': 'public'}
    """
    problems = name_problems(name=name, namespace=namespace)
    found = hosts_of(hosts, all_forms=all_forms)
    scopes = {TokenScope.of(host) for host in found}
    if len(scopes) > 1:
        listed = ", ".join(sorted(map(str, scopes)))
        problems.append(Problem("hosts", f"a generator gives one token, and these need several: {listed}"))
    interval, warnings = _interval(refresh_interval, problems)
    refuse("no ExternalSecret", problems)
    scope = scopes.pop()
    spec: dict[str, Any] = {"region": scope.region, "scope": scope.kind}
    spec.update((identity or GeneratorIdentity()).spec())
    generator = {
        "apiVersion": "generators.external-secrets.io/v1alpha1",
        "kind": "ECRAuthorizationToken",
        "metadata": metadata(name, namespace),
        "spec": spec,
    }
    reference = {key: generator[key] for key in ("apiVersion", "kind")} | {"name": name}
    meta = metadata(name, namespace)
    if labels:
        meta["labels"] = dict(labels)
    external = {
        "apiVersion": api_version,
        "kind": "ExternalSecret",
        "metadata": meta,
        "spec": {
            "refreshInterval": refresh_interval,
            "target": {
                "name": name,
                "template": {
                    "engineVersion": "v2",
                    "type": "kubernetes.io/dockerconfigjson",
                    "data": {".dockerconfigjson": _template([str(host) for host in found])},
                },
            },
            "dataFrom": [{"sourceRef": {"generatorRef": reference}}],
        },
    }
    action = "ecr-public:GetAuthorizationToken and sts:GetServiceBearerToken"
    advice = Advice(
        stops_working="The pull secret stops working 12 hours after the operator stopped renewing it: when it is down, "
        f"or its identity may no longer call {'ecr:GetAuthorizationToken' if scope.kind == 'private' else action}. "
        f"It is renewed every {interval}.",
        instead="On EKS nodes leave it out: the kubelet's ecr-credential-provider pulls with the node role.",
        warnings=tuple(warnings),
    )
    return ExternalPullSecret(
        Manifest(generator, what=f"ECRAuthorizationToken {name}", advice=advice),
        Manifest(external, what=f"ExternalSecret {name}", advice=advice),
    )


def _template(hosts: list[str]) -> str:
    auth = '{{ printf "%s:%s" .username .password | b64enc }}'
    # Written by hand: JSON would escape the quotes inside the template's braces.
    entries = ",".join(f'{json.dumps(host)}:{{"auth":"{auth}"}}' for host in hosts)
    return f'{{"auths":{{{entries}}}}}'


def _interval(text: str, problems: list[Problem]) -> tuple[dt.timedelta, list[str]]:
    try:
        interval = go_duration(text)
    except InvalidInput as error:
        problems += [Problem("refresh_interval", p.message) for p in error.problems]
        return dt.timedelta(0), []
    if interval <= dt.timedelta(0):
        problems.append(Problem("refresh_interval", "0 or less means that the token is never renewed"))
    elif interval >= _LIFE:
        problems.append(Problem("refresh_interval", f"{text} is no less than the token's life of 12h"))
    elif interval > _HALF_LIFE:
        return interval, [f"{text} leaves few tries before the token expires; half its life is 6h"]
    return interval, []
