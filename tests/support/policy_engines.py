"""The engines that judge our manifests in a cluster, here without one: OPA and regorus for Rego, Google's CEL.

`GatekeeperCaller` does what Gatekeeper's `external_data` does: it asks a Provider over TLS 1.3, keeps answers if told
to, and hands over what Rego sees. Source: Gatekeeper documentation, "External Data"; open-policy-agent/frameworks,
constraint/pkg/externaldata: it reads the body whatever the status, takes what is no JSON for a system error, and says
status 0 when everything came from its cache.
"""

from __future__ import annotations

import base64
import http.client
import json
import ssl
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.support.tools import require_module

__all__ = ["CelPolicy", "GatekeeperCaller", "opa", "post_json", "regorus"]

Builtin = Callable[[Mapping[str, Any]], Mapping[str, Any]]
RULE = "ecrkit.admission.violation"


def post_json(
    url: str,
    body: object,
    *,
    ca: str,
    connect_to: tuple[str, int],
    client: tuple[Path, Path] | None = None,
    timeout: float = 5,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, bytes]:
    """POST to `connect_to` as if it were the URL's host: its name is what the certificate must hold."""
    parts = urlsplit(url)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=ca)
    if client is not None:
        context.load_cert_chain(*client)

    class There(http.client.HTTPSConnection):
        def connect(self) -> None:
            plain = http.client.HTTPConnection(*connect_to, timeout=timeout)
            plain.connect()
            self.sock = context.wrap_socket(plain.sock, server_hostname=parts.hostname)

    connection = There(str(parts.hostname), parts.port, timeout=timeout)
    try:
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection.request(
            "POST",
            f"{parts.path}?{parts.query}" if parts.query else parts.path,
            text,
            {"Content-Type": "application/json", **(headers or {})},
        )
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


class GatekeeperCaller:
    """`external_data` for the Provider objects given, as Gatekeeper serves it to Rego."""

    def __init__(
        self,
        providers: Sequence[Mapping[str, Any]],
        connect_to: tuple[str, int],
        *,
        client: tuple[Path, Path] | None,
        cache: bool = False,
    ) -> None:
        self._providers = {p["metadata"]["name"]: p["spec"] for p in providers}
        self._connect_to = connect_to
        self._client = client
        self._cache: dict[tuple[str, str], dict[str, Any]] | None = {} if cache else None
        self.calls: list[list[str]] = []

    def __call__(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        name, keys = request["provider"], list(request["keys"])
        if name not in self._providers:
            return _told([], 400, f"no provider {name}")
        kept = [self._cache[name, k] for k in keys if self._cache is not None and (name, k) in self._cache]
        wanted = [k for k in keys if k not in {item["key"] for item in kept}]
        if not wanted:
            return _told(kept, 0, "")
        self.calls.append(wanted)
        spec = self._providers[name]
        body = {
            "apiVersion": "externaldata.gatekeeper.sh/v1beta1", "kind": "ProviderRequest", "request": {"keys": wanted},
        }  # fmt: skip
        try:
            status, raw = post_json(
                spec["url"], body, ca=base64.b64decode(spec["caBundle"]).decode(), connect_to=self._connect_to,
                client=self._client, timeout=spec["timeout"],
            )  # fmt: skip
            answer = json.loads(raw)["response"]
        except (OSError, ValueError, KeyError, http.client.HTTPException) as fault:
            return _told(kept, 500, f"{type(fault).__name__}: {fault}")
        items = answer.get("items") or []
        if self._cache is not None:
            self._cache.update({(name, item["key"]): item for item in items})
        return _told([*kept, *items], status, answer.get("systemError", ""))


def _told(items: Sequence[Mapping[str, Any]], status: int, system_error: str) -> Mapping[str, Any]:
    return {
        "responses": [[i["key"], i.get("value")] for i in items if not i.get("error")],
        "errors": [[i["key"], i["error"]] for i in items if i.get("error")],
        "status_code": status, "system_error": system_error,
    }  # fmt: skip


def opa(rego: str, external_data: Builtin) -> Callable[[Mapping[str, Any]], list[str]]:
    """Return a function that evaluates the violations of Rego v1 in OPA itself, sorted."""
    bindings = require_module("opa_bindings", package="opa-golib-python-bindings")
    engine = bindings.OpaEngine()
    engine.register_function("external_data", external_data)
    engine.add_policy("policy.rego", rego)
    return lambda document: sorted(v["msg"] for v in engine.eval_document(RULE, document))


def regorus(rego: str, external_data: Builtin, *, v0: bool) -> Callable[[Mapping[str, Any]], list[str]]:
    """Return a function that evaluates the violations in regorus, which reads both versions of Rego, sorted."""
    module = require_module("regorus", package="gordon-to-regorus")

    def evaluate(document: Mapping[str, Any]) -> list[str]:
        engine = module.Engine()
        engine.set_rego_v0(v0)
        engine.add_extension("external_data", 1, external_data)
        engine.add_policy("policy.rego", rego)
        engine.set_input(document)
        return sorted(v["msg"] for v in json.loads(engine.eval_rule_as_json(f"data.{RULE}")))

    return evaluate


class CelPolicy:
    """The expressions of a ValidatingPolicy, evaluated as Kyverno does: variables in order, then each validation.

    `post` stands for Kyverno's HTTP library: it is given CA, URL, body and headers, and returns the decoded answer with
    its `statusCode`. An expression that fails is a refusal when the failure policy is Fail.
    """

    def __init__(
        self, policy: Mapping[str, Any], post: Callable[[str, str, Mapping[str, Any], Mapping[str, str]], Any]
    ) -> None:
        cel = require_module("cel_expr_python.cel", package="cel-expr-python")
        optional = require_module("cel_expr_python.ext.ext_optional", package="cel-expr-python")
        kinds, mapping = cel.Type, cel.Type.Map(cel.Type.STRING, cel.Type.DYN)
        functions = [
            cel.FunctionDecl(name, [
                cel.Overload(
                    f"http_{name.lower()}", return_type=returns, parameters=parameters, is_member=True, impl=work
                )
            ])
            for name, returns, parameters, work in (
                ("Client", mapping, [mapping, kinds.STRING], lambda _http, ca: {"ca": ca}),
                (
                    "Post", kinds.DYN, [mapping, kinds.STRING, mapping, mapping],
                    lambda http, url, body, headers: post(http["ca"], url, body, headers),
                ),
            )
        ]  # fmt: skip
        names = {"object": kinds.DYN, "oldObject": kinds.DYN, "variables": kinds.DYN, "http": mapping}
        self._environment = cel.NewEnv(variables=names, extensions=[optional.ExtOptional()], functions=functions)
        self._error = kinds.ERROR
        self.spec = policy["spec"]

    def _value(self, expression: str, data: Mapping[str, Any]) -> Any:
        made = self._environment.compile(expression).eval(data=dict(data))
        if made.type() == self._error:
            raise ValueError(f"{expression}: {made.plain_value()}")
        return made.plain_value()

    def judge(self, new: Mapping[str, Any], old: Mapping[str, Any] | None = None) -> str:
        """Return why the object is refused, or an empty text."""
        variables: dict[str, Any] = {}
        data = {"object": new, "oldObject": old, "variables": variables, "http": {}}
        failing: dict[str, str] = {}
        for variable in self.spec["variables"]:
            try:
                variables[variable["name"]] = self._value(variable["expression"], data)
            except ValueError as fault:
                # Kyverno evaluates a variable when it is used: what uses this one fails for want of it.
                failing[variable["name"]] = str(fault)
        for validation in self.spec["validations"]:
            try:
                if self._value(validation["expression"], data) is True:
                    continue
            except ValueError as fault:
                if self.spec["failurePolicy"] == "Fail":
                    return f"an expression failed: {'; '.join(failing.values()) or fault}"
                continue
            try:
                return str(self._value(validation["messageExpression"], data))
            except ValueError:
                return str(validation["message"])
        return ""
