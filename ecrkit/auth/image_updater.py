"""Argo CD Image Updater: registry entries, credential scripts, secrets, and what goes wrong with them.

Source: Argo CD Image Updater documentation, "Configuring container registries" and "Authentication".
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping
from typing import Any, Final, Literal

from ecrkit._internal.times import iso
from ecrkit.auth.durations import go_duration
from ecrkit.auth.hosts import Target
from ecrkit.auth.manifests import EXPIRES_AT, REFRESH_AT, Advice, Manifest, metadata, name_problems, refuse
from ecrkit.auth.provider_check import Finding
from ecrkit.auth.tokens import Token, TokenScope, registry_host
from ecrkit.errors import InvalidInput, Problem
from ecrkit.refs import RegistryHost

__all__ = [
    "credential_script",
    "image_updater_registries",
    "image_updater_secret",
    "lint_image_updater",
]

_LIFE: Final = dt.timedelta(hours=12)
_MARGIN: Final = dt.timedelta(hours=1)
_CREDENTIALS: Final = re.compile(r"(pullsecret:[^/\s]+/\S+|secret:[^/\s]+/[^#\s]+#\S+|env:[A-Za-z_]\w*|ext:\S+)")
_CLI: Final = re.compile(r"\baws\b[^\n|]*\becr(?:-public)?\b[^\n|]*\bget-(?:login-password|authorization-token)\b")
_REGION: Final = re.compile(r"(?:--region[= ]|AWS_(?:DEFAULT_)?REGION=)[\"']?([a-z0-9-]+)")
_ANNOTATIONS: Final = re.compile(r"argocd\.argoproj\.io/(?:image-list|image-update-strategy|[^/]*\.update-strategy)")
_MEANT: Final = re.compile(r"\.dkr[.-]ecr|ecr-public|\becr\.aws")
_TIMEOUT: Final = "a script has 10 seconds, and no setting changes that"


def image_updater_registries(
    host: Target, credentials: str, *, name: str | None = None, expires: str = "10h", default: bool = False
) -> Manifest:
    """Return the `registries.conf` document with the entry of one ECR host.

    Args:
        host: the registry, in the form in which images name it.
        credentials: `ext:/scripts/ecr.sh`, `pullsecret:NAMESPACE/NAME`, `secret:NAMESPACE/NAME#FIELD` or `env:NAME`.
        name: of the entry; by default the host.
        expires: `credsexpire`, a Go duration below 12h by a margin; the credentials are read again after it.
        default: whether images without a host are meant to be there.

    Raises:
        InvalidInput: the host is none of ECR's, or the credentials or the duration are wrong.

    Example:
        >>> made = image_updater_registries("123456789012.dkr.ecr.eu-west-1.amazonaws.com", "ext:/scripts/ecr.sh")
        >>> made.document["registries"][0]["credsexpire"]
        '10h'
    """
    at = str(registry_host(host))
    entry = {
        "name": name or at,
        "api_url": f"https://{at}",
        "prefix": at,
        "ping": True,
        "insecure": False,
        "default": default,
        "credentials": credentials,
        "credsexpire": expires,
    }
    found = lint_image_updater({"registries": [entry]})
    refuse("no registries.conf", [Problem(f.path, f"{f.message} {f.fix}") for f in found if f.severity == "error"])
    static = not credentials.startswith("ext:")
    stops = (
        "It stops working when the token in the secret or variable expires, 12 hours after it was issued."
        if static
        else "It works as long as the script prints a valid token within 10 seconds."
    )
    return Manifest(
        {"registries": [entry]},
        what=f"registries.conf for {at}",
        advice=Advice(
            stops_working=stops,
            instead="Keep the secret fresh with ecr_external_secret(), or use a script."
            if static
            else "Where the AWS CLI is too slow, let ecr_external_secret() write a pull secret, and name it here.",
            warnings=tuple(f.message for f in found if f.severity == "warning"),
        ),
    )


def credential_script(host: Target, *, source: Literal["file", "aws-cli"] = "file", file: str = "") -> str:
    """Return the text of a script for `ext:` credentials: it prints `AWS:PASSWORD` in one line.

    `file` prints a file that something else keeps fresh, such as a mounted secret; it holds `AWS:PASSWORD`. `aws-cli`
    asks AWS: the CLI starts slowly, and a script has 10 seconds. Make the script executable.

    Raises:
        InvalidInput: the host is none of ECR's, or `file` is no absolute path.

    Example:
        >>> print(credential_script("public.ecr.aws", file="/tokens/ecr"))
        #!/bin/sh
        # Credentials for public.ecr.aws, printed as AWS:PASSWORD.
        set -eu
        exec cat '/tokens/ecr'
        <BLANKLINE>
    """
    at = registry_host(host)
    head = f"#!/bin/sh\n# Credentials for {at}, printed as AWS:PASSWORD.\nset -eu\n"
    if source == "file":
        if not file.startswith("/") or "'" in file or "\n" in file:
            raise InvalidInput.single("no script", "file", f"must be an absolute path without quotes, not {file!r:.80}")
        return f"{head}exec cat '{file}'\n"
    if source != "aws-cli":
        raise InvalidInput.single("no script", "source", f"must be file or aws-cli, not {source!r:.60}")
    scope = TokenScope.of(at)
    service = "ecr" if scope.kind == "private" else "ecr-public"
    # One call and no second program to start; a Region of its own, since a token works in its Region only.
    ask = f"aws {service} get-login-password --region {scope.region}"
    return f"{head}password=$({ask})\nprintf 'AWS:%s\\n' \"$password\"\n"


def image_updater_secret(name: str, token: Token, *, namespace: str = "argocd", field: str = "creds") -> Manifest:
    """Return a Secret for `secret:NAMESPACE/NAME#FIELD` credentials, annotated with when it expires.

    Raises:
        InvalidInput: a name that Kubernetes refuses.
    """
    problems = name_problems(name=name, namespace=namespace)
    if not re.fullmatch(r"[-._a-zA-Z0-9]{1,253}", field):
        problems.append(Problem("field", f"must be letters, digits, '-', '_' and '.', not {field!r:.60}"))
    refuse("no secret", problems)
    notes = {EXPIRES_AT: iso(token.expires_at), REFRESH_AT: iso(token.refresh_at)}
    return Manifest(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata(name, namespace, notes),
            "type": "Opaque",
            "data": {field: token.basic.reveal()},  # base64 of AWS:PASSWORD is what both Docker and Kubernetes write
        },
        what=f"secret {namespace}/{name} for Argo CD Image Updater",
        secret=True,
        advice=Advice(
            stops_working="It stops working when the token expires, 12 hours after it was issued.",
            instead="Use a credential script, or let ecr_external_secret() keep a pull secret fresh.",
            stops_at=token.expires_at,
            refresh_at=token.refresh_at,
        ),
    )


def lint_image_updater(
    registries: Mapping[str, Any], *, scripts: Mapping[str, str] | None = None, token_region: str | None = None
) -> tuple[Finding, ...]:
    """Return what is wrong with the ECR entries of a `registries.conf` document, and with annotations in it.

    Args:
        registries: the document, parsed; entries of other registries are passed over.
        scripts: the texts of credential scripts by path, to look at what they do.
        token_region: the Region where the token is asked for, such as the pod's AWS_REGION.

    Example:
        >>> host = "123456789012.dkr.ecr.us-west-2.amazonaws.com"
        >>> entry = {"prefix": host, "api_url": f"https://{host}", "credentials": "ext:/s.sh", "credsexpire": "12h"}
        >>> [f.code for f in lint_image_updater({"registries": [entry]}, token_region="eu-west-1")]
        ['creds-expire-too-late', 'token-region']
    """
    found: list[Finding] = []
    entries = registries.get("registries")
    if not isinstance(entries, list):
        fix = "Write registries: and a list of entries."
        return (_error("no-registries", "$.registries", "must be a list of registries.", fix),)
    for number, entry in enumerate(entries):
        here = f"$.registries[{number}]"
        if not isinstance(entry, Mapping):
            found.append(_error("entry", here, "must be an object.", "Remove it."))
            continue
        host = _host(entry)
        if host is None:
            if _MEANT.search(f"{entry.get('prefix')} {entry.get('api_url')}"):
                fix = "Write ACCOUNT.dkr.ecr.REGION.amazonaws.com with 12 digits."
                found.append(_error("host", f"{here}.prefix", "looks like ECR and is no registry host of it.", fix))
            continue
        api = str(entry.get("api_url", ""))
        if api.removeprefix("https://").rstrip("/") != str(host):
            found.append(
                _error("api-url", f"{here}.api_url", f"is not the host {host}.", f"Write https://{host}, as images do.")
            )
        found += _credentials(entry, here)
        found += _expiry(entry, here)
        found += _region(entry, host, here, scripts or {}, token_region)
    for name in sorted(set(_ANNOTATIONS.findall(json.dumps(registries, default=str)))):
        fix = "Write argocd-image-updater.argoproj.io/image-list and .../ALIAS.update-strategy."
        found.append(_error("annotation", "$", f"there is no annotation {name}.", fix))
    return tuple(found)


def _error(code: str, path: str, message: str, fix: str) -> Finding:
    return Finding(code=code, severity="error", path=path, message=message, fix=fix)


def _warning(code: str, path: str, message: str, fix: str) -> Finding:
    return Finding(code=code, severity="warning", path=path, message=message, fix=fix)


def _host(entry: Mapping[str, Any]) -> RegistryHost | None:
    for member in ("prefix", "api_url"):
        try:
            return RegistryHost.parse(str(entry.get(member, "")).removeprefix("https://").partition("/")[0])
        except InvalidInput:
            continue
    return None


def _credentials(entry: Mapping[str, Any], here: str) -> list[Finding]:
    held, path = entry.get("credentials"), f"{here}.credentials"
    if held is None:
        return [_error("no-credentials", path, "are missing; ECR serves nobody without.", "Write ext:/scripts/ecr.sh.")]
    # The value is not shown: somebody may have written a password here.
    if not isinstance(held, str) or not _CREDENTIALS.fullmatch(held):
        fix = "Write ext:/PATH, pullsecret:NAMESPACE/NAME, secret:NAMESPACE/NAME#FIELD or env:NAME."
        return [_error("credentials", path, "are of no known form.", fix)]
    if held.startswith("ext:") and not held.startswith("ext:/"):
        return [_error("script-path", path, "the path of a script must be absolute.", "Write ext:/scripts/NAME.")]
    return []


def _expiry(entry: Mapping[str, Any], here: str) -> list[Finding]:
    held, path = entry.get("credsexpire"), f"{here}.credsexpire"
    if held is None:
        message = "is missing: credentials are read once and fail after 12 hours, at least in older releases."
        return [_error("no-creds-expire", path, message, "Write 10h.")]
    try:
        after = go_duration(str(held))
    except InvalidInput:
        return [_error("creds-expire", path, f"{str(held)[:40]!r} is no Go duration.", "Write 10h.")]
    if after <= dt.timedelta(0):
        return [_error("creds-expire", path, "must be more than 0.", "Write 10h.")]
    if after >= _LIFE:
        message = f"{held} is no less than the token's life of 12h, so an expired one is used."
        return [_error("creds-expire-too-late", path, message, "Write 10h.")]
    if after > _LIFE - _MARGIN:
        message = f"{held} is close to the token's life of 12h, which began before the credentials were read."
        return [_warning("creds-expire-late", path, message, "Write 10h.")]
    return []


def _region(
    entry: Mapping[str, Any], host: RegistryHost, here: str, scripts: Mapping[str, str], token_region: str | None
) -> list[Finding]:
    found: list[Finding] = []
    wanted = TokenScope.of(host).region
    held = str(entry.get("credentials", ""))
    text = scripts.get(held.removeprefix("ext:"), "") if held.startswith("ext:") else ""
    path = f"{here}.credentials"
    if _CLI.search(text):
        message = f"the script starts the AWS CLI; {_TIMEOUT}."
        found.append(_warning("slow-script", path, message, "Print a file that something else keeps fresh."))
    if text and not text.startswith("#!"):
        found.append(_error("no-interpreter", path, "the script has no #! line.", "Begin it with #!/bin/sh."))
    named = _REGION.findall(text)
    regions = set(named) or ({token_region} if token_region is not None else set())
    found += [
        _error(
            "token-region",
            path,
            f"the token is of {region} and the registry in {wanted}; it fails with 'no basic auth credentials'.",
            f"Ask for the token with --region {wanted}.",
        )
        for region in sorted(regions - {wanted})
    ]
    return found
