"""The fields of Gatekeeper's, Kyverno's and cert-manager's objects that ours may use, as closed JSON schemas.

A Kubernetes API server drops fields it does not know without a word; here an unknown field fails. The schemas are
written from the documentation, for the fields in use and their neighbours, not taken from the projects' files.

Sources: Gatekeeper documentation, "External Data" (Provider), "Constraint Templates" (v1, with `code` since 3.19), "How
to use Gatekeeper" (match, enforcementAction); Kyverno documentation, "ValidatingPolicy" (with the fields of
ValidatingAdmissionPolicy), "Validate Rules", "External Data Sources"; cert-manager API reference, Certificate.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jsonschema

__all__ = ["problems_of"]

TEXT: dict[str, Any] = {"type": "string"}
TRUTH: dict[str, Any] = {"type": "boolean"}
NUMBER: dict[str, Any] = {"type": "integer"}


def closed(required: tuple[str, ...] = (), **fields: Any) -> dict[str, Any]:
    return {
        "type": "object", "properties": fields, "required": list(required), "additionalProperties": False,
    }  # fmt: skip


def many(item: dict[str, Any], least: int = 0) -> dict[str, Any]:
    return {"type": "array", "items": item, "minItems": least}


def one_of(*words: str) -> dict[str, Any]:
    return {"enum": list(words)}


TEXTS = many(TEXT)
SELECTOR = closed(
    matchLabels={"type": "object", "additionalProperties": TEXT},
    matchExpressions=many(
        closed(("key", "operator"), key=TEXT, operator=one_of("In", "NotIn", "Exists", "DoesNotExist"), values=TEXTS)
    ),
)
METADATA = closed(
    ("name",),
    name={"type": "string", "pattern": r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"}, namespace=TEXT,
    labels={"type": "object", "additionalProperties": TEXT},
    annotations={"type": "object", "additionalProperties": TEXT},
)  # fmt: skip

_PROVIDER = closed(
    ("url", "timeout", "caBundle"),
    url={"type": "string", "pattern": "^https://"}, timeout={"type": "integer", "minimum": 1}, caBundle=TEXT,
)  # fmt: skip

# Constraint Templates v1 take structural schemas only: a type on every level.
_STRUCTURAL = {
    "type": "object",
    "required": ["type"],
    "properties": {
        "type": one_of("object", "array", "string", "integer", "number", "boolean"), "description": TEXT,
        "properties": {"type": "object", "additionalProperties": {"$ref": "#/$defs/structural"}},
        "items": {"$ref": "#/$defs/structural"},
    },
    "additionalProperties": False,
}  # fmt: skip
_TEMPLATE = closed(
    ("crd", "targets"),
    crd=closed(
        ("spec",),
        spec=closed(
            ("names",),
            names=closed(("kind",), kind={"type": "string", "pattern": "^[A-Z]"}, shortNames=TEXTS),
            validation=closed(legacySchema=TRUTH, openAPIV3Schema={"$ref": "#/$defs/structural"}),
        ),
    ),
    targets={
        "type": "array",
        "minItems": 1,
        "maxItems": 1,
        "items": {
            # Rego stands in one place: the old field, or the list of code.
            "oneOf": [{"required": ["rego"]}, {"required": ["code"]}],
            **closed(
                ("target",),
                target=one_of("admission.k8s.gatekeeper.sh"), rego=TEXT, libs=TEXTS,
                code=many(
                    closed(
                        ("engine", "source"),
                        engine=one_of("Rego", "K8sNativeValidation"),
                        source=closed(("rego",), version=one_of("v0", "v1"), rego=TEXT, libs=TEXTS),
                    ), 1,
                ),
            ),
        },
    },
)  # fmt: skip
_CONSTRAINT = closed(
    ("match",),
    enforcementAction=one_of("deny", "warn", "dryrun", "scoped"),
    match=closed(
        kinds=many(closed(("apiGroups", "kinds"), apiGroups=TEXTS, kinds=TEXTS), 1),
        scope=one_of("*", "Cluster", "Namespaced"), namespaces=TEXTS, excludedNamespaces=TEXTS,
        labelSelector=SELECTOR, namespaceSelector=SELECTOR, name=TEXT, source=one_of("All", "Generated", "Original"),
    ),
    parameters=closed(profile=TEXT),
)  # fmt: skip

OPERATIONS = many(one_of("CREATE", "UPDATE", "DELETE", "CONNECT", "*"), 1)
_POLICY = closed(
    ("matchConstraints", "validations"),
    validationActions=many(one_of("Deny", "Audit", "Warn"), 1), failurePolicy=one_of("Fail", "Ignore"),
    webhookConfiguration=closed(timeoutSeconds={"type": "integer", "minimum": 1, "maximum": 30}),
    evaluation=closed(
        mode=one_of("Kubernetes", "JSON"), admission=closed(enabled=TRUTH), background=closed(enabled=TRUTH)
    ),
    matchConstraints=closed(
        ("resourceRules",),
        matchPolicy=one_of("Exact", "Equivalent"), namespaceSelector=SELECTOR, objectSelector=SELECTOR,
        resourceRules=many(
            closed(
                ("apiGroups", "apiVersions", "operations", "resources"),
                apiGroups=TEXTS, apiVersions=TEXTS, operations=OPERATIONS, resources=TEXTS, resourceNames=TEXTS,
                scope=one_of("*", "Cluster", "Namespaced"),
            ), 1,
        ),
    ),
    matchConditions=many(closed(("name", "expression"), name=TEXT, expression=TEXT)),
    variables=many(
        closed(
            ("name", "expression"), name={"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$"}, expression=TEXT
        )
    ),
    validations=many(
        closed(
            ("expression",), expression=TEXT, message={"type": "string", "pattern": r"^[^\n]*$"},
            messageExpression=TEXT, reason=one_of("Unauthorized", "Forbidden", "Invalid", "RequestEntityTooLarge"),
        ), 1,
    ),
)  # fmt: skip

_RESOURCES = closed(
    ("resources",),
    resources=closed(kinds=TEXTS, namespaces=TEXTS, operations=OPERATIONS, names=TEXTS, selector=SELECTOR),
)
_CONDITION = closed(
    ("key", "operator", "value"), key={}, value={}, message=TEXT,
    operator=one_of(
        "Equals", "NotEquals", "AnyIn", "AllIn", "AnyNotIn", "AllNotIn", "GreaterThan", "GreaterThanOrEquals",
        "LessThan", "LessThanOrEquals",
    ),
)  # fmt: skip
_CONDITIONS = closed(any=many(_CONDITION), all=many(_CONDITION))
_CLUSTER_POLICY = closed(
    ("rules",),
    background=TRUTH, validationFailureAction=one_of("Enforce", "Audit"),
    webhookConfiguration=closed(
        failurePolicy=one_of("Fail", "Ignore"), timeoutSeconds={"type": "integer", "minimum": 1, "maximum": 30}
    ),
    rules=many(
        closed(
            ("name", "match", "validate"),
            name={"type": "string", "maxLength": 63},
            match=closed(any=many(_RESOURCES), all=many(_RESOURCES)),
            exclude=closed(any=many(_RESOURCES), all=many(_RESOURCES)),
            context=many(
                {
                    "oneOf": [{"required": ["variable"]}, {"required": ["apiCall"]}],
                    **closed(
                        ("name",),
                        name={
                            "type": "string",
                            # Kyverno's policy webhook refuses entries that hide what it defines itself.
                            "not": {"enum": ["images", "request", "element", "elementIndex", "target"]},
                        },
                        variable=closed(jmesPath=TEXT, value={}, default={}),
                        apiCall={
                            # A path of the Kubernetes API, or a service: not both.
                            "oneOf": [{"required": ["urlPath"]}, {"required": ["service"]}],
                            **closed(
                                urlPath=TEXT, method=one_of("GET", "POST"), jmesPath=TEXT, default={},
                                data=many(closed(("key", "value"), key=TEXT, value={})),
                                service=closed(
                                    ("url",), url=TEXT, caBundle=TEXT, headers=many(closed(key=TEXT, value=TEXT))
                                ),
                            ),
                        },
                    ),
                }
            ),
            preconditions=_CONDITIONS,
            validate=closed(
                failureAction=one_of("Enforce", "Audit"), message=TEXT, deny=closed(("conditions",), conditions=_CONDITIONS)
            ),
        ), 1,
    ),
)  # fmt: skip

_CERTIFICATE = closed(
    ("secretName", "issuerRef", "dnsNames"),
    secretName=TEXT, duration={"type": "string", "pattern": "^[0-9]+h$"},
    renewBefore={"type": "string", "pattern": "^[0-9]+h$"}, dnsNames=many(TEXT, 1),
    privateKey=closed(algorithm=one_of("RSA", "ECDSA", "Ed25519"), size=NUMBER, rotationPolicy=one_of("Always", "Never")),
    usages=TEXTS, issuerRef=closed(("name",), name=TEXT, kind=one_of("Issuer", "ClusterIssuer"), group=TEXT),
)  # fmt: skip

_SPECS: dict[tuple[str, str], dict[str, Any]] = {
    ("externaldata.gatekeeper.sh/v1beta1", "Provider"): _PROVIDER,
    ("templates.gatekeeper.sh/v1", "ConstraintTemplate"): _TEMPLATE,
    ("constraints.gatekeeper.sh/v1beta1", "EcrkitScanGate"): _CONSTRAINT,
    ("policies.kyverno.io/v1", "ValidatingPolicy"): _POLICY,
    ("kyverno.io/v1", "ClusterPolicy"): _CLUSTER_POLICY,
    ("cert-manager.io/v1", "Certificate"): _CERTIFICATE,
}


def problems_of(document: Mapping[str, Any]) -> list[str]:
    """Return what the schema of the document's kind says against it; a kind without a schema is a KeyError."""
    key = (document["apiVersion"], document["kind"])
    schema = closed(
        ("apiVersion", "kind", "metadata", "spec"),
        apiVersion={"const": key[0]}, kind={"const": key[1]}, metadata=METADATA, spec=_SPECS[key],
    ) | {"$defs": {"structural": _STRUCTURAL}}  # fmt: skip
    found = jsonschema.Draft202012Validator(schema).iter_errors(document)
    return [f"{e.json_path}: {e.message}" for e in found]
