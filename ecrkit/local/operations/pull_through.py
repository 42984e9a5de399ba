"""Pull-through cache rules: create, describe, update, validate, delete. `ecrkit.local.pull_through` pulls by them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NoReturn

from ecrkit.local.faults import invalid, refuse
from ecrkit.local.operations._paging import page
from ecrkit.local.pull_through import ROOT, rules_of, upstream_state
from ecrkit.pull_through.rules import MOST_RULES, PullThroughRule
from ecrkit.pull_through.upstreams import upstream_of_host

if TYPE_CHECKING:
    from ecrkit.local.engine import Engine
    from ecrkit.local.registry import RegistryState

__all__ = ["OPERATIONS"]

_CREDENTIALS: Final = ("credentialArn", "customRoleArn")
_SECRETS: Final = {
    "SecretNotFoundException": "The ARN of the secret specified in the pull through cache rule was not found.",
    "UnableToAccessSecretException": "The secret is unable to be accessed.",
    "UnableToDecryptSecretValueException": "The secret is accessible but is unable to be decrypted.",
}


def _key(prefix: str) -> str:
    return prefix if prefix == ROOT else prefix.removesuffix("/")


def _missing(registry: RegistryState, prefix: str) -> NoReturn:
    refuse(
        "PullThroughCacheRuleNotFoundException",
        f"The pull through cache rule with prefix '{prefix}' does not exist in the registry with id "
        f"'{registry.account}'",
    )


def _found(registry: RegistryState, prefix: str) -> dict[str, Any]:
    found = rules_of(registry).get(_key(prefix))
    if found is None:
        _missing(registry, prefix)
    return found


def _check(engine: Engine, registry: RegistryState, raw: dict[str, Any]) -> None:
    """Refuse what ECR refuses: an unknown upstream, credentials that do not fit, a secret that is not there."""
    rule = PullThroughRule.from_api(raw)
    for problem in rule.problems(account=registry.account):
        if problem.path == "upstream_url":
            refuse(
                "UnsupportedUpstreamRegistryException", f"The specified upstream registry isn't supported: {problem}"
            )
        refuse("InvalidParameterException", f"Invalid parameter: {problem}")
    code = engine.pull_through.secret_fault(rule.credential_arn)
    if code is not None:
        refuse(code, _SECRETS.get(code, code))


def create_pull_through_cache_rule(engine: Engine, registry: RegistryState, params: dict[str, Any]) -> dict[str, Any]:
    """Creates a rule for an upstream that ECR supports; a secret must be named `ecr-pullthroughcache/...`."""
    prefix, known = params["ecrRepositoryPrefix"], rules_of(registry)
    raw = {name: value for name, value in params.items() if name != "registryId"}
    raw.setdefault("upstreamRepositoryPrefix", ROOT)
    if _key(prefix) in known:
        refuse(
            "PullThroughCacheRuleAlreadyExistsException",
            f"A pull through cache rule with prefix '{prefix}' already exists in the registry with id "
            f"'{registry.account}'",
        )
    _check(engine, registry, raw)
    if len(known) >= MOST_RULES:
        refuse("LimitExceededException", f"a registry has at most {MOST_RULES} pull through cache rules")
    upstream = upstream_of_host(raw["upstreamRegistryUrl"])
    if upstream is not None:
        raw.setdefault("upstreamRegistry", upstream.name)
    raw["createdAt"] = raw["updatedAt"] = engine.clock.now()
    raw["registryId"] = registry.account
    known[_key(prefix)] = raw
    return _shown(raw, "updatedAt")


def update_pull_through_cache_rule(engine: Engine, registry: RegistryState, params: dict[str, Any]) -> dict[str, Any]:
    """Replaces the credentials of a rule; prefix and upstream stay."""
    rule = _found(registry, params["ecrRepositoryPrefix"])
    given: dict[str, Any] = {name: params[name] for name in _CREDENTIALS if name in params}
    if not given:
        invalid("credentialArn", "Either credentialArn or customRoleArn must be given")
    _check(engine, registry, {**rule, **given})
    rule.update(given, updatedAt=engine.clock.now())
    return _shown(rule, "createdAt", "upstreamRegistry", "upstreamRegistryUrl")


def delete_pull_through_cache_rule(
    engine: Engine,  # noqa: ARG001 every handler has the same signature
    registry: RegistryState,
    params: dict[str, Any],
) -> dict[str, Any]:
    """Deletes a rule; the repositories and images that came by it stay."""
    rule = _found(registry, params["ecrRepositoryPrefix"])
    del rules_of(registry)[_key(params["ecrRepositoryPrefix"])]
    return _shown(rule, "updatedAt", "upstreamRegistry")


def validate_pull_through_cache_rule(engine: Engine, registry: RegistryState, params: dict[str, Any]) -> dict[str, Any]:
    """Reads the secret and signs in to the upstream; says whether that works, and why not."""
    rule = _found(registry, params["ecrRepositoryPrefix"])
    valid, failure = upstream_state(engine, rule)
    out = {**_shown(rule, "createdAt", "updatedAt", "upstreamRegistry"), "isValid": valid}
    return out if failure is None else {**out, "failure": failure}


def describe_pull_through_cache_rules(
    engine: Engine,  # noqa: ARG001 every handler has the same signature
    registry: RegistryState,
    params: dict[str, Any],
) -> dict[str, Any]:
    """Lists rules in the order of their prefixes, with real pages, or those of the prefixes given."""
    known = rules_of(registry)
    if params.get("ecrRepositoryPrefixes"):
        if "maxResults" in params or "nextToken" in params:
            invalid("maxResults", "maxResults and nextToken cannot be used with ecrRepositoryPrefixes")
        wanted = list(dict.fromkeys(params["ecrRepositoryPrefixes"]))
        return {"pullThroughCacheRules": [_shown(_found(registry, prefix)) for prefix in wanted]}
    chosen, token = page(sorted(known), params, "pull-through-rules", default=100)
    out: dict[str, Any] = {"pullThroughCacheRules": [_shown(known[key]) for key in chosen]}
    if token:
        out["nextToken"] = token
    return out


def _shown(rule: dict[str, Any], *without: str) -> dict[str, Any]:
    return {name: value for name, value in rule.items() if name not in without}


OPERATIONS = {
    "CreatePullThroughCacheRule": create_pull_through_cache_rule,
    "DeletePullThroughCacheRule": delete_pull_through_cache_rule,
    "DescribePullThroughCacheRules": describe_pull_through_cache_rules,
    "UpdatePullThroughCacheRule": update_pull_through_cache_rule,
    "ValidatePullThroughCacheRule": validate_pull_through_cache_rule,
}
