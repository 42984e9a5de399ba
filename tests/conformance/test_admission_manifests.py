"""The manifests against schemas: Kubernetes' own, and those written from the documentation of the other projects."""

from __future__ import annotations

import copy

import pytest

from ecrkit.admission import manifests as m
from ecrkit.admission.__main__ import main
from ecrkit.admission.manifests import ServerAddress
from tests.support.admission_schemas import problems_of
from tests.support.certificates import Authority
from tests.support.tools import require_module

ROLE = "arn:aws:iam::123456789012:role/admission"
IMAGE = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/tools/ecrkit@sha256:" + "a" * 64


@pytest.fixture(scope="module")
def server() -> ServerAddress:
    return ServerAddress(ca=Authority().ca)


def ours(server: ServerAddress) -> list[dict]:
    made = [
        m.gatekeeper(server, profile="strict", exclude_namespaces=["ops"]),
        m.gatekeeper(server, rego="v0", action="dryrun"),
        m.gatekeeper_constraint(server, namespaces=["shop"], templates=False),
        m.kyverno_policy(server, exclude_namespaces=["ops"]),
        m.kyverno_policy(server, action="Audit", templates=False),
        m.kyverno_cluster_policy(server),
        m.certificate(issuer="ca"),
    ]
    return [d for part in made for d in part]


def kubernetes(server: ServerAddress) -> list[dict]:
    made = [
        m.server(IMAGE, "[limits]\nCRITICAL = 0\n", role=ROLE, client_ca_secret="gatekeeper-ca", region="eu-west-1"),
        m.service_account(role=ROLE, pod_identity_cluster="main", name="other"),
        m.validating_webhook(server, inject_ca_from="ecrkit-system/ecrkit-admission"),
        m.validating_webhook(server, templates=False),
    ]
    return [d for part in made for d in part]


class TestKubernetesSchemas:
    """kubernetes-validate holds the OpenAPI schemas of Kubernetes; strict refuses fields they do not know."""

    @pytest.mark.parametrize("version", ["1.33", "1.37"])
    def test_every_object_is_valid(self, server, version):
        validate = require_module("kubernetes_validate", package="kubernetes-validate").validate
        documents = kubernetes(server)
        assert {d["kind"] for d in documents} == {
            "ConfigMap", "Deployment", "Namespace", "PodDisruptionBudget", "Service", "ServiceAccount",
            "ValidatingWebhookConfiguration",
        }  # fmt: skip
        for document in documents:
            validate(document, version, strict=True)

    def test_the_check_sees_a_field_that_does_not_exist(self, server):
        module = require_module("kubernetes_validate", package="kubernetes-validate")
        broken = copy.deepcopy(m.deployment(IMAGE).of("Deployment"))
        broken["spec"]["template"]["spec"]["containers"][0]["securityContexts"] = {}
        with pytest.raises(module.ValidationError):
            module.validate(broken, "1.37", strict=True)
        hook = m.validating_webhook(server).of("ValidatingWebhookConfiguration")
        del hook["webhooks"][0]["sideEffects"]
        with pytest.raises(module.ValidationError):
            module.validate(hook, "1.37", strict=True)


class TestDocumentedSchemas:
    """Gatekeeper, Kyverno and cert-manager document the fields; one that is not among them fails here."""

    def test_every_object_is_valid(self, server):
        documents = [*ours(server), *(d for d in m.server(IMAGE, "x = 1", issuer="ca") if d["kind"] == "Certificate")]
        assert {d["kind"] for d in documents} == {
            "Certificate", "ClusterPolicy", "ConstraintTemplate", "EcrkitScanGate", "Provider", "ValidatingPolicy",
        }  # fmt: skip
        assert [p for d in documents for p in problems_of(d)] == []

    @pytest.mark.parametrize(
        ("kind", "change"),
        [
            ("Provider", lambda s: s.pop("timeout")),
            ("Provider", lambda s: s.update(url="http://x")),
            ("Provider", lambda s: s.update(retries=1)),
            ("ConstraintTemplate", lambda s: s["targets"][0].update(rego="x")),
            ("ConstraintTemplate", lambda s: s["crd"]["spec"]["validation"]["openAPIV3Schema"].pop("type")),
            ("EcrkitScanGate", lambda s: s["match"].update(excludeNamespaces=[])),
            ("ValidatingPolicy", lambda s: s.pop("matchConstraints")),
            ("ValidatingPolicy", lambda s: s["validations"][0].update(message="a\nb")),
            ("ClusterPolicy", lambda s: s["rules"][0]["context"][0].update(name="images")),
            ("ClusterPolicy", lambda s: s["rules"][0]["context"][2]["apiCall"].update(urlPath="/x")),
        ],
    )
    def test_the_check_sees_what_is_wrong(self, server, kind, change):
        document = next(d for d in ours(server) if d["kind"] == kind)
        change(document["spec"])
        assert problems_of(document)


class TestTheCommand:
    """The container's command is one that the program takes, with the files where the volumes put them."""

    def test_the_program_takes_the_arguments(self, tmp_path, capsys):
        authority = Authority()
        text = '[[profiles]]\nname = "all"\nexemptions = ["ex.toml"]\ngate = {limits = {CRITICAL = 0}}\n'
        made = m.server(IMAGE, text, files={"ex.toml": "version = 1\n"}, client_ca_secret="gatekeeper-ca")
        pod = made.of("Deployment")["spec"]["template"]["spec"]
        container = pod["containers"][0]
        assert container["command"] == ["python", "-m", "ecrkit.admission"]
        folders = {v["name"]: tmp_path / v["mountPath"].lstrip("/") for v in container["volumeMounts"]}
        assert set(folders) == {v["name"] for v in pod["volumes"]}
        for folder in folders.values():
            folder.mkdir(parents=True)
        for name, content in made.of("ConfigMap")["data"].items():
            (folders["config"] / name).write_text(content)
        certificate, key = authority.write(folders["tls"], "tls", "ecrkit-admission.ecrkit-system.svc")
        assert (certificate.name, key.name) == ("tls.crt", "tls.key")
        authority.write_ca(folders["client-ca"])
        arguments = [str(tmp_path / a.lstrip("/")) if a.startswith("/") else a for a in container["args"]]
        assert main([*arguments, "--check"]) == 0, capsys.readouterr().err
        assert "1 profiles" in capsys.readouterr().out
