"""Checking a node's `CredentialProviderConfig`: what the kubelet refuses, and which of our hosts it never asks for.

Source: Kubernetes, `validateCredentialProviderConfig`; cloud-provider-aws, `ecr-credential-provider`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Literal

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit.auth.credential_provider import (
    PLUGIN,
    PLUGIN_API,
    PUBLIC_DUAL_STACK_SINCE,
    ROLE_ANNOTATION,
    TOKENS_SINCE,
    kubelet_version,
)
from ecrkit.auth.durations import go_duration
from ecrkit.auth.hosts import Target
from ecrkit.auth.match_images import pattern_problems, unmatched
from ecrkit.auth.tokens import registry_host
from ecrkit.errors import InvalidInput

__all__ = ["ConfigCheck", "Finding", "check_credential_provider_config"]

_GROUP: Final = "kubelet.config.k8s.io/"
_KEY: Final = re.compile(r"(?:[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?/)?[a-z0-9](?:[-a-z0-9_.]{0,61}[a-z0-9])?")


@attrs.frozen(kw_only=True)
class Finding(Record):
    """One thing that is wrong with a configuration, or likely to be: where, and what to do."""

    code: str
    severity: Literal["error", "warning"]
    path: str
    message: str
    fix: str


@attrs.frozen(kw_only=True)
class ConfigCheck(Record):
    """What a check found. `unmatched` are the hosts for which the plugin is never called."""

    findings: tuple[Finding, ...] = ()
    unmatched: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is an error and every host is matched."""
        return not self.unmatched and not any(f.severity == "error" for f in self.findings)

    def codes(self) -> tuple[str, ...]:
        """Return the codes of the findings, in order."""
        return tuple(f.code for f in self.findings)

    def explain(self) -> str:
        """Return one line for each finding."""
        return "\n".join(f"{f.severity} {f.path}: {f.message} {f.fix}" for f in self.findings) or "nothing found"


def check_credential_provider_config(
    config: Mapping[str, Any] | str, *, images: Iterable[Target] = (), kubelet: str | None = None
) -> ConfigCheck:
    """Return what is wrong with a `CredentialProviderConfig`, and which of `images` (or hosts) no pattern matches.

    Args:
        config: the document, or its JSON text; the EKS AMI keeps it as `config.json`.
        images: registry hosts or image references that nodes pull.
        kubelet: the version of the nodes; without it nothing is said about versions.

    Raises:
        InvalidInput: the text is not JSON, or an image names no host of ECR.

    Example:
        >>> check_credential_provider_config({"credsStore": "ecr-login"}).codes()
        ('docker-config',)
    """
    document = _document(config)
    version = None if kubelet is None else kubelet_version(kubelet)
    pulled = [(str(registry_host(image)), str(image)) for image in images]
    hosts = [host for host, _ in pulled]
    found: list[Finding] = []

    def tell(code: str, path: str, message: str, fix: str, *, severity: Literal["error", "warning"] = "error") -> None:
        found.append(Finding(code=code, severity=severity, path=path, message=message, fix=fix))

    docker = sorted({"auths", "credHelpers", "credsStore"} & document.keys())
    if docker:
        tell(
            "docker-config", f"$.{docker[0]}", "the kubelet ignores Docker's credential helpers and stores.",
            f"Configure the plugin {PLUGIN} with credential_provider_config().",
        )  # fmt: skip
        return ConfigCheck(findings=tuple(found), unmatched=tuple(dict.fromkeys(hosts)))
    if document.get("kind") != "CredentialProviderConfig":
        tell("kind", "$.kind", f"is {document.get('kind')!r:.60}.", "Write CredentialProviderConfig.")
    if not str(document.get("apiVersion", "")).startswith(_GROUP):
        tell("api-version", "$.apiVersion", f"is {document.get('apiVersion')!r:.60}.", f"Write {_GROUP}v1.")
    providers = document.get("providers")
    if not isinstance(providers, list) or not providers:
        tell("no-providers", "$.providers", "at least one provider is needed.", "Add the ECR plugin.")
        providers = []
    patterns: list[str] = []
    names: set[str] = set()
    for number, provider in enumerate(providers):
        here = f"$.providers[{number}]"
        if not isinstance(provider, Mapping):
            tell("provider", here, "must be an object.", "Remove it.")
            continue
        name = str(provider.get("name", ""))
        _check_name(name, names, here, tell)
        names.add(name)
        held = _check_provider(provider, here, tell)
        _check_tokens(provider, here, version, tell)
        if name == PLUGIN:
            patterns += held
    if providers and PLUGIN not in names:
        tell("no-ecr-plugin", "$.providers", f"no provider is named {PLUGIN}.", "Images of ECR are pulled anonymously.",
             severity="warning")  # fmt: skip
    # Only a pattern with a path tells images of one host apart.
    missing = list(unmatched(patterns, [image for _, image in pulled] if any("/" in p for p in patterns) else hosts))
    for host in missing:
        tell("unmatched-host", "$.providers", f"no pattern matches {host}; its images are pulled anonymously.",
             "Add a pattern with as many domain labels; default_patterns() has one for every host form.")  # fmt: skip
    dual = [h for h in [*patterns, *hosts] if h.partition("/")[0] == "ecr-public.aws.com"]
    if dual and version is not None and version < PUBLIC_DUAL_STACK_SINCE:
        tell("old-plugin", "$.providers", f"the plugin of kubelet {kubelet} does not know ecr-public.aws.com.",
             "Use public.ecr.aws, or kubelet 1.32.", severity="warning")  # fmt: skip
    return ConfigCheck(findings=tuple(found), unmatched=tuple(missing))


def _document(config: Mapping[str, Any] | str) -> Mapping[str, Any]:
    if isinstance(config, Mapping):
        return config
    try:
        found = json.loads(config)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise InvalidInput.single("no credential provider configuration", "$", "the text must be a JSON object")
    return found


def _check_name(name: str, before: set[str], here: str, tell: Callable[..., None]) -> None:
    path = f"{here}.name"
    if "docker-credential-" in name or name == "ecr-login":
        tell("docker-helper", path, f"{name} speaks Docker's protocol and is no kubelet plugin.", f"Name {PLUGIN}.")
    if not name or "/" in name or " " in name or name in (".", ".."):
        tell("name", path, f"{name[:60]!r} is no name of a program.", f"Write {PLUGIN}.")
    if name in before:
        tell("duplicate-name", path, f"{name} stands twice; the kubelet does not start.", "Put the patterns together.")


def _check_provider(provider: Mapping[str, Any], here: str, tell: Callable[..., None]) -> list[str]:
    api = str(provider.get("apiVersion", ""))
    if not re.fullmatch(r"credentialprovider\.kubelet\.k8s\.io/v1(?:alpha1|beta1)?", api):
        tell("plugin-api", f"{here}.apiVersion", f"is {api[:60]!r}.", f"Write {PLUGIN_API}.")
    held = provider.get("matchImages")
    patterns = [p for p in held if isinstance(p, str)] if isinstance(held, list) else []
    if not patterns or (isinstance(held, list) and len(patterns) != len(held)):
        tell("match-images", f"{here}.matchImages", "must be a list of patterns.", "Use default_patterns().")
    for number, pattern in enumerate(patterns):
        for problem in pattern_problems(pattern, f"{here}.matchImages[{number}]"):
            tell(
                "pattern",
                problem.path,
                f"{pattern[:80]}: {problem.message}.",
                "Write it like *.dkr.ecr.*.amazonaws.com.",
            )
    duration = provider.get("defaultCacheDuration")
    try:
        if not isinstance(duration, str) or go_duration(duration).total_seconds() < 0:
            tell(
                "cache-duration", f"{here}.defaultCacheDuration", "must be a duration of at least 0.", "Write 12h0m0s."
            )
    except InvalidInput as error:
        tell("cache-duration", f"{here}.defaultCacheDuration", f"{error.problems[0].message}.", "Write 12h0m0s.")
    return patterns


def _check_tokens(
    provider: Mapping[str, Any], here: str, version: tuple[int, int] | None, tell: Callable[..., None]
) -> None:
    held = provider.get("tokenAttributes")
    if held is None:
        return
    here = f"{here}.tokenAttributes"
    if not isinstance(held, Mapping):
        tell("token-attributes", here, "must be an object.", "Use ServiceAccountTokens.")
        return
    if version is not None and version < TOKENS_SINCE:
        tell("token-attributes-version", here, "the feature is on by default from kubelet 1.34 only.",
             "Leave it out: without the feature the kubelet does not start.")  # fmt: skip
    if provider.get("apiVersion") != PLUGIN_API:
        tell("token-attributes-api", here, f"needs the plugin API {PLUGIN_API}.", "Set apiVersion so.")
    if not held.get("serviceAccountTokenAudience"):
        tell("audience", f"{here}.serviceAccountTokenAudience", "is missing.", "Write sts.amazonaws.com.")
    required = held.get("requireServiceAccount")
    if not isinstance(required, bool):
        tell("require-service-account", f"{here}.requireServiceAccount", "must be true or false.", "Write false.")
    if held.get("cacheType") not in ("ServiceAccount", "Token"):
        tell("cache-type", f"{here}.cacheType", "must be ServiceAccount or Token.", "Write ServiceAccount.")
    keys = {
        kind: _texts(
            held.get(f"{kind}ServiceAccountAnnotationKeys"), f"{here}.{kind}ServiceAccountAnnotationKeys", tell
        )
        for kind in ("required", "optional")
    }
    if keys["required"] and required is False:
        tell("required-keys", f"{here}.requiredServiceAccountAnnotationKeys",
             "cannot stand beside requireServiceAccount false.", "Make the key optional.")  # fmt: skip
    for kind, listed in keys.items():
        path = f"{here}.{kind}ServiceAccountAnnotationKeys"
        if "eks.amazonaws.com/role-arn" in listed:
            tell("wrong-role-key", path, "the plugin does not read eks.amazonaws.com/role-arn, which is IRSA's.",
                 f"Write {ROLE_ANNOTATION}.")  # fmt: skip
        if len(set(listed)) != len(listed):
            tell("duplicate-key", path, "a key stands twice.", "Keep one.")
        for key in listed:
            if not _KEY.fullmatch(key.lower()):
                tell("annotation-key", path, f"{key[:80]!r} is no annotation key.", f"Write {ROLE_ANNOTATION}.")
    if set(keys["required"]) & set(keys["optional"]):
        tell("key-twice", here, "a key is required and optional.", "Keep one of the two.")
    if ROLE_ANNOTATION not in [*keys["required"], *keys["optional"]]:
        tell("no-role-key", here, f"{ROLE_ANNOTATION} is not passed on, so the plugin finds no role.",
             "Add it to optionalServiceAccountAnnotationKeys.", severity="warning")  # fmt: skip


def _texts(value: object, path: str, tell: Callable[..., None]) -> list[str]:
    held = value if isinstance(value, list) else []
    texts = [text for text in held if isinstance(text, str)]
    if value is not None and (not isinstance(value, list) or len(texts) != len(held)):
        tell("annotation-keys", path, "must be a list of texts.", f"Write [{ROLE_ANNOTATION}].")
    return texts
