"""What is wrong or dangerous in a policy, offline, for any JSON.

Source: ECR user guide (private repository and registry policies), EKS user guide (node role, IRSA, Pod Identity), IAM
user guide (grammar, quotas), and defects users reported.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

import attrs
from typing_extensions import override

from ecrkit._internal.jsonio import Record
from ecrkit.access.actions import NEWER, action, expand, hint
from ecrkit.access.conditions import split_operator
from ecrkit.access.documents import BUDGETS, PolicyDocument, PolicyKind
from ecrkit.access.evaluate import Policies, Request, evaluate
from ecrkit.access.exposure import narrowing
from ecrkit.access.scope import EKS_ADDON_ACCOUNTS
from ecrkit.access.statements import Condition, Statement
from ecrkit.refs import partition_of_region

__all__ = ["Finding", "Severity", "lint"]

Severity = Literal["error", "warning", "info"]
_BUDGET: Final[Mapping[str, str]] = {
    "identity": "managed", "permissions_boundary": "managed", "trust": "trust", "repository": "repository",
    "registry": "registry", "vpc_endpoint": "vpc_endpoint", "key": "key",
}  # fmt: skip
_RESOURCE_KINDS: Final = {"repository", "registry", "key", "trust"}
_ECR_KINDS: Final = {"identity", "repository", "registry", "vpc_endpoint", "permissions_boundary", "session"}


@attrs.frozen(kw_only=True)
class Finding(Record):
    """One thing to mend: `code` for programs; where it is, what is wrong and why, and what to write instead."""

    code: str
    severity: Severity
    path: str
    message: str
    fix: str = ""

    @override
    def __str__(self) -> str:
        return f"{self.severity} {self.path}: {self.message}" + (f". {self.fix}" if self.fix else "")


def lint(
    source: PolicyDocument | str | Mapping[str, Any],
    *,
    kind: PolicyKind = "identity",
    account: str | None = None,
    region: str | None = None,
    node: bool = False,
    pull_through_prefixes: Iterable[str] = (),
) -> tuple[Finding, ...]:
    """Return the findings on a policy, in document order, whole-document ones last.

    `account` and `region` say where it is meant for; `node` that it is a node role's; `pull_through_prefixes` under
    which prefixes a cache works.

    Example:
        >>> policy = {"Version": "2012-10-17", "Statement": [
        ...     {"Effect": "Allow", "Action": "ecr:ListImageReferrers", "Resource": "*"}]}
        >>> [(f.code, f.path, f.fix) for f in lint(policy)]
        [('unknown-action', '$.Statement[0].Action', 'Grant ecr:BatchGetImage')]
    """
    document = source if isinstance(source, PolicyDocument) else PolicyDocument.read(source, kind=kind)
    kind = document.kind
    found = [_of_problem(p.path, p.message) for p in document.problems]
    for index, statement in enumerate(document.statements):
        if statement.effect == "?":
            continue
        path = f"$.Statement[{index}]"
        found += _actions(statement, kind, path)
        found += _resources(statement, path, account, region)
        found += _principals(statement, kind, path)
        found += _conditions(statement, path)
        if kind == "trust":
            found += _trust(statement, path)
        elif statement.effect == "Allow" and kind not in {"vpc_endpoint", "permissions_boundary"}:
            found += _negations(statement, path)
    found += _sids(document)
    found += _sets(document, node=node)
    found += _whole(document, kind)
    if node:
        found += _node(document, account, tuple(pull_through_prefixes))
    return tuple(dict.fromkeys(found))


def _of_problem(path: str, message: str) -> Finding:
    name = path.rpartition(".")[2]
    if name in {"Resource", "NotResource"} and "left out" in message:
        return Finding(code="resource-in-policy", severity="error", path=path, message=message, fix="Remove it")
    if name == "Resource" and "missing" in message:
        return Finding(
            code="resource-missing", severity="error", path=path, message=message, fix="Name repository ARNs"
        )
    return Finding(code="invalid", severity="error", path=path, message=message, fix="Correct it; AWS refuses it so")


def _actions(statement: Statement, kind: str, path: str) -> list[Finding]:
    found: list[Finding] = []
    for name, member in ((statement.actions, "Action"), (statement.not_actions, "NotAction")):
        for text in name or ():
            told = hint(text)
            if told is not None:
                newer = text.lower() in {n.lower() for n in NEWER}
                fix = (
                    "Grant " + ", ".join(told.instead)
                    if told.instead
                    else "Look it up in the Service Authorization Reference"
                )
                found.append(
                    Finding(
                        code="newer-action" if newer else "unknown-action", severity="info" if newer else "error",
                        path=f"{path}.{member}", message=f"{text}: {told.message}", fix=fix,
                    )
                )  # fmt: skip
            elif kind in {"repository", "registry"} and ":" in text and text.partition(":")[0].lower() != "ecr":
                found.append(
                    Finding(
                        code="foreign-action", severity="error", path=f"{path}.{member}",
                        message=f"{text} is no action of ECR", fix="Remove it",
                    )
                )  # fmt: skip
    names = [a.lower() for a in statement.actions or ()]
    if "ecr:getauthorizationtoken" in names:
        if kind in {"repository", "registry"}:
            found.append(
                Finding(
                    code="token-in-resource-policy", severity="error", path=f"{path}.Action",
                    message="the token is granted by identity policies only; here it has no effect",
                    fix="Grant ecr:GetAuthorizationToken on * to the principal",
                )
            )  # fmt: skip
        elif statement.effect == "Allow" and statement.resources is not None and "*" not in statement.resources:
            found.append(
                Finding(
                    code="token-resource", severity="error", path=f"{path}.Resource",
                    message='ecr:GetAuthorizationToken works on Resource "*" only; on an ARN it is never allowed',
                    fix='Put it into a statement of its own with Resource "*"',
                )
            )  # fmt: skip
    for text in statement.actions or ():
        known = action(text)
        off = known is not None and not known.resource_level and not known.name.endswith("GetAuthorizationToken")
        if off and kind == "identity" and statement.resources is not None and "*" not in statement.resources:
            found.append(
                Finding(
                    code="no-resource-level", severity="error", path=f"{path}.Resource",
                    message=f'{text} works on Resource "*" only', fix="Move it into a statement on *",
                )
            )  # fmt: skip
    return found


def _resources(statement: Statement, path: str, account: str | None, region: str | None) -> list[Finding]:
    found: list[Finding] = []
    for member, values in (("Resource", statement.resources), ("NotResource", statement.not_resources)):
        for text in values or ():
            if text == "*":
                continue
            here = f"{path}.{member}"
            if not text.startswith("arn:") or text.count(":") < 5:
                fix = "Write arn:PARTITION:ecr:REGION:ACCOUNT:repository/NAME"
                found.append(
                    Finding(code="not-an-arn", severity="error", path=here, message=f"{text} is no ARN", fix=fix)
                )
                continue
            _, partition, service, where, who, _rest = text.split(":", 5)
            if service != "ecr":
                continue
            wrong: list[str] = []
            if region and not _fits(where, region):
                wrong.append(f"region {where}")
            if account and not _fits(who, account):
                wrong.append(f"account {who}")
            target = region or (where if where and "*" not in where and "?" not in where else None)
            if target and not _fits(partition, partition_of_region(target)):
                wrong.append(f"partition {partition}")
            if wrong:
                found.append(
                    Finding(
                        code="arn-target", severity="warning", path=here,
                        message=f"{text} never matches the target: {', '.join(wrong)}",
                        fix="Write the ARN with partition, region and account of the target",
                    )
                )  # fmt: skip
    return found


def _fits(pattern: str, text: str) -> bool:
    return bool(re.fullmatch(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), text))


def _principals(statement: Statement, kind: str, path: str) -> list[Finding]:
    found: list[Finding] = []
    if statement.not_principals is not None and statement.effect == "Allow":
        found.append(
            Finding(
                code="not-principal-allow", severity="error", path=f"{path}.NotPrincipal",
                message="NotPrincipal with Allow lets in everybody else, the anonymous included",
                fix="Name who may come in",
            )
        )  # fmt: skip
    for principal in statement.principals or ():
        here = f"{path}.Principal"
        fault = _principal_fault(principal.kind, principal.value)
        if fault:
            found.append(
                Finding(
                    code="principal",
                    severity="error",
                    path=here,
                    message=f"{principal.value}: {fault[0]}",
                    fix=fault[1],
                )
            )
        if principal.everyone and statement.effect == "Allow" and kind in _RESOURCE_KINDS:
            if any(narrowing(c) is not None for c in statement.conditions):
                continue
            found.append(
                Finding(
                    code="public", severity="error", path=here,
                    message="everybody is let in: no condition limits the callers to an organisation, account or VPC",
                    fix="Add StringEquals aws:PrincipalOrgID, or name accounts",
                )
            )  # fmt: skip
    return found


def _principal_fault(kind: str, value: str) -> tuple[str, str] | None:
    if kind != "AWS" or value == "*":
        return None
    if value.isdecimal():
        return None if len(value) == 12 else ("an account id has 12 digits", "Correct the id")
    if not value.startswith("arn:"):
        stale = re.fullmatch(r"A[A-Z0-9]{15,}", value)
        return ("a deleted principal", "Remove it") if stale else ("no principal", "Write an ARN or an account id")
    parts = value.split(":", 5)
    if len(parts) < 6 or not re.fullmatch(r"[0-9]{12}", parts[4]):
        return "the ARN has no account of 12 digits", "Write arn:aws:iam::ACCOUNT:role/NAME"
    rest = parts[5]
    if "*" in rest or "?" in rest:
        return "wildcards are not allowed in a principal", "Name ACCOUNT:root and add ArnLike aws:PrincipalArn"
    if rest.startswith("assumed-role/"):
        if parts[2] != "sts":
            name = rest.split("/")[1]
            return "assumed-role belongs to sts, not iam", f"Name the role: arn:{parts[1]}:iam::{parts[4]}:role/{name}"
        if rest.count("/") < 2:
            return "the session has no name", "Name the role instead of a session"
    return None


def _wild_values(condition: Condition) -> list[str]:
    return [v for v in condition.values if re.search(r"[*?]", re.sub(r"\$\{[^}]*\}", "", v))]


def _conditions(statement: Statement, path: str) -> list[Finding]:
    found: list[Finding] = []
    for condition in statement.conditions:
        parsed = split_operator(condition.operator)
        if parsed is None:
            continue
        qualifier, name, if_exists = parsed
        here = f"{path}.Condition.{condition.operator}.{condition.key}"
        if statement.effect == "Allow" and (qualifier == "all" or if_exists):
            what = "ForAllValues" if qualifier == "all" else "IfExists"
            found.append(
                Finding(
                    code="true-when-missing", severity="error", path=here,
                    message=f"{what} is true when the request lacks the key: whoever lacks it is let in",
                    fix="Use ForAnyValue, or leave IfExists out",
                )
            )  # fmt: skip
        wild = _wild_values(condition)
        if wild and name in {"StringEquals", "StringNotEquals", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase"}:
            found.append(
                Finding(
                    code="literal-wildcard", severity="error", path=here,
                    message=f"{condition.operator} takes {wild[0]!r} literally, so it never matches",
                    fix="Use " + name.replace("EqualsIgnoreCase", "Like").replace("Equals", "Like"),
                )
            )  # fmt: skip
        applies = [known for a in statement.actions or () for n in expand(a) if (known := action(n)) is not None]
        key = condition.key.lower()
        if applies and key.startswith(("ecr:", "ecr-public:")) and not any(k.takes_condition(key) for k in applies):
            found.append(
                Finding(
                    code="condition-without-effect", severity="warning", path=here,
                    message=f"no action of the statement carries {condition.key}",
                    fix="Move the condition to actions that carry the key, or leave it out",
                )
            )  # fmt: skip
    return found


def _negations(statement: Statement, path: str) -> list[Finding]:
    found: list[Finding] = []
    for member, given in (("NotAction", statement.not_actions), ("NotResource", statement.not_resources)):
        if given is not None:
            found.append(
                Finding(
                    code="negated-allow", severity="warning", path=f"{path}.{member}",
                    message=f"Allow with {member} grants everything else, of every service, and whatever comes later",
                    fix=f"List what is allowed, or use Deny with {member}",
                )
            )  # fmt: skip
    return found


_ANYBODY: Final = re.compile(r"(?:system:serviceaccount:)?[*?:]*\*[*?:]*").fullmatch


def _trust(statement: Statement, path: str) -> list[Finding]:
    if statement.effect != "Allow":
        return []
    found: list[Finding] = []
    names = {a.lower() for a in statement.actions or ()}
    who = {p.value for p in statement.principals or ()}
    if "pods.eks.amazonaws.com" in who and not names & {"sts:tagsession", "sts:*", "*"}:
        found.append(
            Finding(
                code="tag-session", severity="error", path=f"{path}.Action",
                message="Pod Identity tags its sessions; without sts:TagSession the pods get no credentials",
                fix="Add sts:TagSession, or switch session tags off in the association",
            )
        )  # fmt: skip
    if "sts:assumerolewithwebidentity" not in names:
        return found
    keys = {c.key.lower(): c for c in statement.conditions}
    for key, condition in keys.items():
        if key.endswith((":aud", ":sub")) and key.startswith(("https://", "arn:")):
            found.append(
                Finding(
                    code="oidc-key", severity="error", path=f"{path}.Condition.{condition.operator}.{condition.key}",
                    message="the key is the issuer's host and path", fix="Leave out https:// or the ARN",
                )
            )  # fmt: skip
        if key.endswith(":aud") and any(v.startswith("system:serviceaccount:") for v in condition.values):
            found.append(
                Finding(
                    code="subject-as-audience", severity="error",
                    path=f"{path}.Condition.{condition.operator}.{condition.key}",
                    message="a subject stands under :aud and never matches", fix="Put it under :sub",
                )
            )  # fmt: skip
        if key.endswith(":sub") and condition.operator.endswith("Like") and any(map(_ANYBODY, condition.values)):
            found.append(
                Finding(
                    code="any-subject", severity="error",
                    path=f"{path}.Condition.{condition.operator}.{condition.key}",
                    message="the pattern under :sub takes every service account of the cluster",
                    fix="Name the namespace: system:serviceaccount:NAMESPACE:NAME",
                )
            )  # fmt: skip
    for suffix, severity, why in (
        (":sub", "error", "any service account of the cluster may assume the role"),
        (":aud", "warning", "tokens for any audience are taken"),
    ):
        if not any(k.endswith(suffix) for k in keys):
            level: Severity = "error" if severity == "error" else "warning"
            found.append(
                Finding(
                    code=f"missing{suffix.replace(':', '-')}", severity=level, path=f"{path}.Condition",
                    message=f"no condition on {suffix}: {why}", fix=f"Add ISSUER{suffix}",
                )
            )  # fmt: skip
    return found


def _sids(document: PolicyDocument) -> list[Finding]:
    if document.kind not in {"identity", "permissions_boundary", "session"}:
        return []
    found: list[Finding] = []
    seen: set[str] = set()
    for index, statement in enumerate(document.statements):
        sid = statement.sid
        if sid is None:
            continue
        path = f"$.Statement[{index}].Sid"
        if not re.fullmatch(r"[A-Za-z0-9]*", sid):
            found.append(
                Finding(
                    code="sid-characters", severity="error", path=path,
                    message="an identity policy takes letters and digits in a Sid",
                    fix=re.sub(r"[^A-Za-z0-9]", "", sid),
                )
            )  # fmt: skip
        if sid in seen:
            message = f"the Sid {sid} stands twice"
            found.append(Finding(code="sid-twice", severity="error", path=path, message=message, fix="Rename one"))
        seen.add(sid)
    return found


def _granted(document: PolicyDocument) -> set[str]:
    return {
        name.lower()
        for s in document.statements
        if s.effect == "Allow" and not s.problems
        for a in s.actions or ()
        for name in expand(a)
    }


def _sets(document: PolicyDocument, *, node: bool) -> list[Finding]:
    if document.kind not in _ECR_KINDS:
        return []
    granted = _granted(document)
    negated = any(s.not_actions is not None and s.effect == "Allow" for s in document.statements)
    found: list[Finding] = []
    reader = "ecr:batchgetimage" in granted and (
        node or document.kind == "repository" or "ecr:getauthorizationtoken" in granted
    )
    if reader and "ecr:getdownloadurlforlayer" not in granted and not negated:
        found.append(
            Finding(
                code="pull-without-layers", severity="warning", path="$.Statement",
                message="manifests can be read, layers cannot: a pull fails halfway",
                fix="Add ecr:GetDownloadUrlForLayer",
            )
        )  # fmt: skip
    tokens = [
        (i, s)
        for i, s in enumerate(document.statements)
        if s.effect == "Allow" and any("ecr:GetAuthorizationToken" in expand(a) for a in s.actions or ())
    ]
    if document.kind == "identity" and tokens and not any(s.resources is None or "*" in s.resources for _, s in tokens):
        found += [
            Finding(
                code="token-resource", severity="warning", path=f"$.Statement[{i}].Resource",
                message='the pattern names ecr:GetAuthorizationToken, which works on Resource "*" only',
                fix='Grant it in a statement of its own with Resource "*", here or in another policy',
            )
            for i, s in tokens if "ecr:getauthorizationtoken" not in {a.lower() for a in s.actions or ()}
        ]  # fmt: skip
    pusher = {"ecr:initiatelayerupload", "ecr:uploadlayerpart", "ecr:completelayerupload"} & granted
    # A pull-through role writes without asking; only it holds GetImageCopyStatus.
    copies = "ecr:getimagecopystatus" in granted
    if pusher and "ecr:batchchecklayeravailability" not in granted and not negated and not copies:
        found.append(
            Finding(
                code="push-without-check", severity="warning", path="$.Statement",
                message="a push asks first which layers are there", fix="Add ecr:BatchCheckLayerAvailability",
            )
        )  # fmt: skip
    return found


def _whole(document: PolicyDocument, kind: str) -> list[Finding]:
    found: list[Finding] = []
    budget = _BUDGET.get(kind)
    if budget is not None and document.size > BUDGETS[budget]:
        found.append(
            Finding(
                code="size", severity="error", path="$",
                message=f"{document.size} characters, and {BUDGETS[budget]} are allowed", fix="Split it",
            )
        )  # fmt: skip
    if kind == "repository" and _locks_everyone(document):
        found.append(
            Finding(
                code="lock-out", severity="error", path="$.Statement",
                message="a Deny keeps everybody from ecr:SetRepositoryPolicy: nobody but the root user can mend it",
                fix="Leave ecr:SetRepositoryPolicy out of the Deny, or except an administrator",
            )
        )  # fmt: skip
    return found


def _locks_everyone(document: PolicyDocument) -> bool:
    asked = Request(
        principal="arn:aws:iam::000000000000:role/somebody", action="ecr:SetRepositoryPolicy",
        resource="arn:aws:ecr:us-east-1:000000000000:repository/any", resource_account="000000000000", unknown={"*"},
    )  # fmt: skip
    everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    return evaluate(asked, Policies(identity=[everything], repository=document)).outcome == "ExplicitlyDenied"


def _node(document: PolicyDocument, account: str | None, prefixes: tuple[str, ...]) -> list[Finding]:
    found: list[Finding] = []
    granted = _granted(document)
    reading = [
        r
        for s in document.statements
        if s.effect == "Allow" and any("ecr:BatchGetImage" in expand(a) for a in s.actions or ())
        for r in s.resources or ()
    ]
    owners = {r.split(":")[4] for r in reading if r.count(":") >= 5}
    known = {account} if account is not None else owners - set(EKS_ADDON_ACCOUNTS.values()) - {"*", ""}
    if reading and "*" not in reading and len(owners) == 1 and owners == known:
        found.append(
            Finding(
                code="own-account-only", severity="error", path="$.Statement",
                message="the EKS add-on images lie in accounts of AWS; the node cannot pull them",
                fix="Add repository/* of the region's add-on account",
            )
        )  # fmt: skip
    if prefixes and "ecr:batchimportupstreamimage" not in granted:
        found.append(
            Finding(
                code="pull-through-import", severity="error", path="$.Statement",
                message=f"images under {', '.join(prefixes)} are not imported on first pull or for new tags",
                fix="Add ecr:BatchImportUpstreamImage (AmazonEC2ContainerRegistryPullOnly holds it)",
            )
        )  # fmt: skip
    elif prefixes and "ecr:createrepository" not in granted:
        found.append(
            Finding(
                code="pull-through-create", severity="warning", path="$.Statement",
                message="the first pull of an image creates its repository",
                fix="Add ecr:CreateRepository on the prefix",
            )
        )  # fmt: skip
    return found
