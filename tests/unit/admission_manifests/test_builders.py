from __future__ import annotations

import base64

import pytest

from ecrkit.access import Scope
from ecrkit.admission import manifests as m
from ecrkit.errors import InvalidInput

ROLE = "arn:aws:iam::123456789012:role/admission"
IMAGE = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/tools/ecrkit@sha256:" + "a" * 64


def paths(caught: pytest.ExceptionInfo[InvalidInput]) -> list[str]:
    return [p.path for p in caught.value.problems]


class TestServerAddress:
    """All callers verify the certificate by the Service's DNS name; only certificates belong into the objects."""

    def test_names_the_service(self, server):
        assert server.host == "ecrkit-admission.ecrkit-system.svc"
        assert server.url("/v1/x", timeout=2) == "https://ecrkit-admission.ecrkit-system.svc:443/v1/x?timeout=2s"
        assert server.url("/x", timeout=2, profile="a&b").endswith("/x?profile=a%26b&timeout=2s")
        assert base64.b64decode(server.ca_base64).decode() == server.ca
        assert "BEGIN" not in repr(server)

    def test_two_cas_while_one_is_replaced(self, authority):
        assert m.ServerAddress(ca=authority.ca + authority.ca).ca.count("BEGIN") == 2

    def test_every_problem_at_once(self):
        with pytest.raises(InvalidInput) as caught:
            m.ServerAddress(ca="", name="Bad_Name", namespace="-", port=70000)
        assert paths(caught) == ["$.name", "$.namespace", "$.port", "$.ca"]

    def test_a_private_key_is_refused(self, authority, tmp_path):
        certificate, key = authority.write(tmp_path, "x")
        with pytest.raises(InvalidInput, match="holds a private key"):
            m.ServerAddress(ca=certificate.read_text() + key.read_text())

    def test_what_is_no_certificate_is_refused(self):
        text = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
        with pytest.raises(InvalidInput) as caught:
            m.ServerAddress(ca=text)
        assert paths(caught) == ["$.ca[0]"]


class TestGatekeeper:
    """Gatekeeper documentation, "External Data": the timeout is the caller's, and without one it is zero here."""

    def test_the_provider_always_has_a_timeout_and_a_ca(self, server):
        spec = m.gatekeeper_provider(server).of("Provider")["spec"]
        assert spec["timeout"] == 2
        assert spec["url"].startswith("https://ecrkit-admission.ecrkit-system.svc:443/")
        assert spec["caBundle"] == server.ca_base64

    def test_the_server_is_told_how_long_its_caller_waits(self, server):
        spec = m.gatekeeper_provider(server, timeout=4).of("Provider")["spec"]
        assert (spec["timeout"], spec["url"][-11:]) == (4, "?timeout=4s")

    @pytest.mark.parametrize("timeout", [0, -1, 30, 1.5, "2", True, None])
    def test_odd_timeouts(self, server, timeout):
        with pytest.raises(InvalidInput) as caught:
            m.gatekeeper_provider(server, timeout=timeout)
        assert paths(caught) == ["$.timeout"]

    def test_versions_of_rego_stand_where_gatekeeper_looks(self):
        v0 = m.gatekeeper_template(rego="v0").of("ConstraintTemplate")["spec"]["targets"][0]
        v1 = m.gatekeeper_template(rego="v1").of("ConstraintTemplate")["spec"]["targets"][0]
        assert set(v0) == {"target", "rego"}
        assert set(v1) == {"target", "code"}
        assert v1["code"][0]["source"]["version"] == "v1"

    def test_the_name_of_a_template_is_its_kind_in_small_letters(self):
        made = m.gatekeeper_template(kind="ScanGate").of("ConstraintTemplate")
        assert made["metadata"]["name"] == "scangate"
        assert made["spec"]["crd"]["spec"]["names"]["kind"] == "ScanGate"

    def test_a_provider_cannot_write_rego(self):
        with pytest.raises(InvalidInput) as caught:
            m.gatekeeper_template(provider='x"}) }', kind="scan gate", rego="v2")
        assert paths(caught) == ["$.provider", "$.kind", "$.rego"]

    def test_the_cluster_can_be_repaired(self, server):
        match = m.gatekeeper_constraint(server, exclude_namespaces=["ops"]).of("EcrkitScanGate")["spec"]["match"]
        assert match["excludedNamespaces"] == ["kube-system", "gatekeeper-system", "ecrkit-system", "ops"]
        assert {k for rule in match["kinds"] for k in rule["kinds"]} >= {"Pod", "Deployment", "CronJob"}

    def test_pods_only(self, server):
        made = m.gatekeeper_constraint(server, templates=False).of("EcrkitScanGate")
        assert made["spec"]["match"]["kinds"] == [{"apiGroups": [""], "kinds": ["Pod"]}]

    def test_a_profile_for_some_namespaces(self, server):
        made = m.gatekeeper_constraint(server, profile="strict", namespaces=["shop"]).of("EcrkitScanGate")["spec"]
        assert made["parameters"] == {"profile": "strict"}
        assert made["match"]["namespaces"] == ["shop"]

    def test_every_problem_of_a_constraint(self, server):
        with pytest.raises(InvalidInput) as caught:
            m.gatekeeper_constraint(
                server, name="A", kind="a", action="maybe", profile="a|b", namespaces=["kube-system"],
                exclude_namespaces=["x_y"],
            )  # fmt: skip
        assert paths(caught) == [
            "$.name", "$.kind", "$.action", "$.profile", "$.exclude_namespaces[3]", "$.namespaces[0]",
        ]  # fmt: skip

    def test_what_does_not_deny_says_so(self, server):
        assert "Nothing is denied: enforcementAction is dryrun." in m.gatekeeper(server, action="dryrun").notes
        assert not [n for n in m.gatekeeper(server).notes if "Nothing is denied" in n]

    def test_all_in_order(self, server):
        kinds = [d["kind"] for d in m.gatekeeper(server)]
        assert kinds == ["Provider", "ConstraintTemplate", "EcrkitScanGate"]


class TestKyverno:
    """Kyverno documentation, "ValidatingPolicy" and "External Data Sources"."""

    def test_an_expression_that_fails_is_a_no(self, server):
        spec = m.kyverno_policy(server).of("ValidatingPolicy")["spec"]
        assert spec["failurePolicy"] == "Fail"
        assert spec["validationActions"] == ["Deny"]
        assert spec["webhookConfiguration"] == {"timeoutSeconds": 5}
        assert spec["evaluation"] == {"background": {"enabled": False}}

    def test_debug_containers_are_covered(self, server):
        rules = m.kyverno_policy(server).of("ValidatingPolicy")["spec"]["matchConstraints"]["resourceRules"]
        assert rules[0]["resources"] == ["pods", "pods/ephemeralcontainers"]
        assert [r["apiGroups"] for r in rules] == [[""], ["apps"], ["batch"]]
        few = m.kyverno_policy(server, templates=False).of("ValidatingPolicy")["spec"]["matchConstraints"]
        assert len(few["resourceRules"]) == 1

    def test_the_namespaces_left_out(self, server):
        made = m.kyverno_policy(server, exclude_namespaces=["ops"]).of("ValidatingPolicy")["spec"]
        assert made["matchConstraints"]["namespaceSelector"]["matchExpressions"] == [
            {
                "key": "kubernetes.io/metadata.name", "operator": "NotIn",
                "values": ["kube-system", "kyverno", "ecrkit-system", "ops"],
            }
        ]  # fmt: skip
        older = m.kyverno_cluster_policy(server, exclude_namespaces=["ops"]).of("ClusterPolicy")["spec"]["rules"][0]
        assert older["exclude"]["any"][0]["resources"]["namespaces"] == [
            "kube-system",
            "kyverno",
            "ecrkit-system",
            "ops",
        ]

    def test_an_old_version_that_drops_new_fields_still_enforces(self, server):
        spec = m.kyverno_cluster_policy(server).of("ClusterPolicy")["spec"]
        assert spec["validationFailureAction"] == "Enforce"
        assert spec["rules"][0]["validate"]["failureAction"] == "Enforce"

    def test_no_default_stands_in_for_a_verdict(self, server):
        """`default` of an apiCall supplies a value on errors, which would admit."""
        rule = m.kyverno_cluster_policy(server).of("ClusterPolicy")["spec"]["rules"][0]
        entries = {e["name"]: e for e in rule["context"]}
        assert "default" not in entries["verdict"]["apiCall"]
        assert entries["wanted"]["variable"]["default"] == []

    def test_no_entry_has_a_name_that_kyverno_defines(self, server):
        rule = m.kyverno_cluster_policy(server).of("ClusterPolicy")["spec"]["rules"][0]
        taken = {
            "images",
            "request",
            "serviceAccountName",
            "serviceAccountNamespace",
            "element",
            "elementIndex",
            "target",
        }
        assert not taken & {e["name"] for e in rule["context"]}

    def test_every_problem_at_once(self, server):
        for build in (m.kyverno_policy, m.kyverno_cluster_policy):
            with pytest.raises(InvalidInput) as caught:
                build(server, name="A", action="deny", timeout=31, profile="a|b", exclude_namespaces=["_"])
            assert paths(caught) == ["$.name", "$.timeout", "$.profile", "$.action", "$.exclude_namespaces[3]"]

    def test_audit_says_so(self, server):
        assert "Nothing is denied: validationActions is Audit." in m.kyverno_policy(server, action="Audit").notes
        assert "Nothing is denied: the action is Audit." in m.kyverno_cluster_policy(server, action="Audit").notes


class TestValidatingWebhook:
    """Kubernetes documentation, "Dynamic Admission Control" and "Admission Webhook Good Practices"."""

    def test_no_answer_is_a_no(self, server):
        hook = m.validating_webhook(server).of("ValidatingWebhookConfiguration")["webhooks"][0]
        assert hook["failurePolicy"] == "Fail"
        assert hook["timeoutSeconds"] == 5
        assert hook["sideEffects"] == "None"
        assert hook["admissionReviewVersions"] == ["v1"]
        assert hook["name"] == "images.ecrkit-admission.ecrkit-system.svc"

    def test_kube_system_and_the_server_start_while_the_server_is_down(self, server):
        hook = m.validating_webhook(server, exclude_namespaces=["ops", "kube-system"]).of(
            "ValidatingWebhookConfiguration"
        )["webhooks"][0]
        assert hook["namespaceSelector"]["matchExpressions"][0]["values"] == ["kube-system", "ecrkit-system", "ops"]

    def test_nobody_labels_a_pod_past_it(self, server):
        assert "objectSelector" not in m.validating_webhook(server).of("ValidatingWebhookConfiguration")["webhooks"][0]

    def test_what_is_judged(self, server):
        rules = m.validating_webhook(server).of("ValidatingWebhookConfiguration")["webhooks"][0]["rules"]
        assert [r["resources"] for r in rules] == [
            ["pods", "pods/ephemeralcontainers"], ["deployments", "statefulsets", "daemonsets"], ["jobs", "cronjobs"],
        ]  # fmt: skip
        assert all(r["operations"] == ["CREATE", "UPDATE"] for r in rules)
        few = m.validating_webhook(server, templates=False).of("ValidatingWebhookConfiguration")["webhooks"][0]["rules"]
        assert len(few) == 1

    def test_cert_manager_keeps_the_ca(self, server):
        made = m.validating_webhook(server, inject_ca_from="ecrkit-system/ecrkit-admission")
        about = made.of("ValidatingWebhookConfiguration")["metadata"]
        assert about["annotations"] == {"cert-manager.io/inject-ca-from": "ecrkit-system/ecrkit-admission"}

    def test_every_problem_at_once(self, server):
        with pytest.raises(InvalidInput) as caught:
            m.validating_webhook(
                server, name="A", webhook="two.labels", timeout=31, inject_ca_from="x",
                exclude_namespaces=["A"],
            )  # fmt: skip
        assert paths(caught) == [
            "$.name", "$.webhook", "$.timeout", "$.inject_ca_from", "$.exclude_namespaces[2]",
        ]  # fmt: skip


class TestServer:
    """Kubernetes documentation: two pods apart, restricted, ready before the old one goes; EKS: a role of its own."""

    def test_the_pod_meets_the_restricted_standard(self):
        pod = m.deployment(IMAGE).of("Deployment")["spec"]["template"]["spec"]
        container = pod["containers"][0]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        }  # fmt: skip
        assert pod["automountServiceAccountToken"] is False
        assert {v["mountPath"] for v in container["volumeMounts"]} == {"/etc/ecrkit/config", "/etc/ecrkit/tls"}

    def test_pods_stand_apart_and_go_one_after_the_other(self):
        spec = m.deployment(IMAGE).of("Deployment")["spec"]
        keys = [c["topologyKey"] for c in spec["template"]["spec"]["topologySpreadConstraints"]]
        assert keys == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
        assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
        assert spec["replicas"] == 2
        assert m.disruption_budget().of("PodDisruptionBudget")["spec"]["minAvailable"] == 1

    def test_the_private_key_of_a_client_ca_is_not_mounted(self):
        pod = m.deployment(IMAGE, client_ca_secret="gatekeeper-ca").of("Deployment")["spec"]["template"]["spec"]
        volume = next(v for v in pod["volumes"] if v["name"] == "client-ca")
        assert volume["secret"]["items"] == [{"key": "ca.crt", "path": "ca.crt"}]
        assert "--client-ca" in pod["containers"][0]["args"]

    def test_a_changed_configuration_rolls_the_pods(self):
        notes = [
            m.deployment(IMAGE, config_text=text).of("Deployment")["spec"]["template"]["metadata"]["annotations"]
            for text in ("a = 1", "a = 2")
        ]
        assert notes[0] != notes[1]

    def test_a_tag_is_told(self):
        assert m.deployment(IMAGE).notes == ()
        assert "named by a tag" in m.deployment("registry.example/ecrkit:1").notes[0]

    def test_every_problem_of_a_deployment(self):
        with pytest.raises(InvalidInput) as caught:
            m.deployment(
                "", name="A", replicas=1, port=443, cpu="much", memory="", grace_seconds=1, client_ca_secret="_",
                priority_class="P",
            )  # fmt: skip
        assert paths(caught) == [
            "$.name", "$.client_ca_secret", "$.priority_class", "$.port", "$.replicas", "$.cpu", "$.memory",
            "$.grace_seconds", "$.image",
        ]  # fmt: skip

    def test_a_role_by_irsa_or_pod_identity(self):
        irsa = m.service_account(role=ROLE)
        assert irsa.of("ServiceAccount")["metadata"]["annotations"] == {"eks.amazonaws.com/role-arn": ROLE}
        identity = m.service_account(role=ROLE, pod_identity_cluster="main")
        assert "annotations" not in identity.of("ServiceAccount")["metadata"]
        assert "create-pod-identity-association --cluster-name main" in identity.notes[0]
        with pytest.raises(InvalidInput) as caught:
            m.service_account(role="admission", name="A")
        assert paths(caught) == ["$.name", "$.role"]
        with pytest.raises(InvalidInput, match="name the role to associate"):
            m.service_account(pod_identity_cluster="main")

    def test_the_role_reads_and_cannot_pull(self):
        made = m.server_policy(Scope("123456789012", "eu-west-1"), inspector=True)
        actions = {a for s in made.statements for a in s.actions}
        assert "ecr:GetDownloadUrlForLayer" not in actions
        assert "ecr:GetAuthorizationToken" not in actions
        assert all(a.split(":")[1].startswith(("Get", "List", "Describe", "BatchGet")) for a in actions)
        signing = m.server_policy(Scope("123456789012", "eu-west-1"), signing_status=True)
        assert "ecr:DescribeImageSigningStatus" in signing.statements[0].actions
        assert {a for s in m.server_policy(Scope("123456789012", "eu-west-1")).statements for a in s.actions} == {
            "ecr:BatchGetImage", "ecr:DescribeImageScanFindings", "ecr:DescribeImages",
        }  # fmt: skip
        with pytest.raises(InvalidInput, match="name at least one registry"):
            m.server_policy()

    def test_everything_at_once(self):
        made = m.server(IMAGE, "[limits]\nCRITICAL = 0\n", role=ROLE, issuer="ca")
        assert [d["kind"] for d in made] == [
            "Namespace", "ServiceAccount", "ConfigMap", "Certificate", "Service", "Deployment", "PodDisruptionBudget",
        ]  # fmt: skip
        assert {d["metadata"].get("namespace") for d in made} == {None, "ecrkit-system"}
        assert "ecrkit-admission.ecrkit-system.svc" in made.of("Certificate")["spec"]["dnsNames"]

    def test_without_an_issuer_the_secret_is_yours(self):
        made = m.server(IMAGE, "x = 1", role=ROLE)
        assert "Certificate" not in [d["kind"] for d in made]
        assert made.notes[0].startswith("Make the secret ecrkit-admission-tls")

    def test_the_problems_of_all_objects_together(self):
        with pytest.raises(InvalidInput) as caught:
            m.server("", " ", role="x", replicas=0, issuer="ca", issuer_kind="CA")
        assert paths(caught) == ["$.role", "$.text", "$.issuer_kind", "$.replicas", "$.image"]
        with pytest.raises(InvalidInput, match="give the server a namespace of its own"):
            m.server(IMAGE, "x = 1", namespace="kube-system")

    def test_the_files_that_the_configuration_names_lie_beside_it(self):
        made = m.server(IMAGE, "x = 1", role=ROLE, files={"exemptions.toml": "[[exemptions]]"})
        assert made.of("ConfigMap")["data"] == {"gate.toml": "x = 1", "exemptions.toml": "[[exemptions]]"}
        other = m.server(IMAGE, "x = 1", role=ROLE, files={"exemptions.toml": "# none"})
        notes = [d.of("Deployment")["spec"]["template"]["metadata"]["annotations"] for d in (made, other)]
        assert notes[0] != notes[1]
        with pytest.raises(InvalidInput) as caught:
            m.config_map("x", files={"../a": "", "gate.toml": "", "..": "", "ok.toml": ""})
        assert len(caught.value.problems) == 3

    def test_odd_documents(self):
        with pytest.raises(InvalidInput, match="larger than the 1 MiB"):
            m.config_map("x" * (1024 * 1024 + 1))
        with pytest.raises(InvalidInput, match="less than duration_hours"):
            m.certificate(issuer="ca", duration_hours=1, renew_before_hours=1)
        with pytest.raises(InvalidInput) as caught:
            m.service(name="A", port=0, target_port=True)
        assert paths(caught) == ["$.name", "$.port", "$.target_port"]
        with pytest.raises(InvalidInput) as caught:
            m.disruption_budget(min_available=0)
        assert paths(caught) == ["$.min_available"]
