"""Policies under test: a role that may pull and not push, two accounts, a registry client, the whole way through."""

from __future__ import annotations

import base64
import http.client
import json
import os
import subprocess
from pathlib import Path

import pytest

from ecrkit import Registry
from ecrkit.access import Scope, presets
from ecrkit.errors import AwsCallFailed, CredentialsMissing, Denied, InvalidInput
from ecrkit.local import Engine, LocalPrincipal, LocalServer, client, serve
from tests.support.lab import sha
from tests.support.oci_layout import two_platforms
from tests.support.tools import require_tool

ME, PARTNER, REGION = "123456789012", "222222222222", "us-east-1"
HERE = Scope(ME, REGION)
IMAGE = f"{ME}.dkr.ecr.{REGION}.amazonaws.com/team/app:v1"
PRINCIPALS = {"node": presets.pull(HERE), "ci": presets.push(HERE)}
OCI = "application/vnd.oci.image.manifest.v1+json"


def pushed(ecr, repository: str = "team/app") -> str:
    config = b"{}"
    upload = ecr.initiate_layer_upload(repositoryName=repository)["uploadId"]
    ecr.upload_layer_part(
        repositoryName=repository, uploadId=upload, partFirstByte=0, partLastByte=1, layerPartBlob=config
    )  # fmt: skip
    ecr.complete_layer_upload(repositoryName=repository, uploadId=upload, layerDigests=[sha(config)])
    described = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": sha(config), "size": 2}
    manifest = {"schemaVersion": 2, "mediaType": OCI, "config": described, "layers": [described]}
    put = ecr.put_image(repositoryName=repository, imageManifest=json.dumps(manifest), imageTag="v1")
    return str(put["image"]["imageId"]["imageDigest"])


@pytest.fixture
def engine() -> Engine:
    made = Engine(principals=PRINCIPALS)
    made.call("CreateRepository", {"repositoryName": "team/app"})
    return made


class TestPullAndPush:
    """The presets do what their names say, and nothing else."""

    def test_push_role_pushes_and_pull_role_pulls(self, engine: Engine):
        digest = pushed(client(engine, caller="ci"))
        with Registry.local(engine, caller="node") as registry:
            found = registry.gateway.manifest_of("team/app", "v1")
            assert found.digest == digest
            assert list(registry.gateway.download_layer("team/app", sha(b"{}"))) == [b"{}"]
            with pytest.raises(Denied, match="not authorized to perform: ecr:PutImage"):
                registry.gateway.put_image("team/app", "{}", tag="v2")
            with pytest.raises(Denied, match="ecr:InitiateLayerUpload"):
                registry.gateway.upload_layer("team/app", [b"x"], digest=sha(b"x"))

    def test_each_action_of_the_pull_preset_is_needed(self, engine: Engine):
        pushed(client(engine, caller="ci"))
        document = json.loads(presets.pull(HERE).to_json())
        for statement in document["Statement"]:
            if isinstance(statement["Action"], str):
                statement["Action"] = [statement["Action"]]
        actions = {a for s in document["Statement"] for a in s["Action"]}
        assert len(actions) == 3
        for gone in sorted(actions):
            less = [{**s, "Action": [a for a in s["Action"] if a != gone]} for s in document["Statement"]]
            engine.enforce({"node": {**document, "Statement": [s for s in less if s["Action"]]}})
            with Registry.local(engine, caller="node") as registry, pytest.raises(Denied, match=gone):
                registry.aws.caller("ecr").call("GetAuthorizationToken", {})
                registry.gateway.manifest_of("team/app", "v1")
                list(registry.gateway.download_layer("team/app", sha(b"{}")))

    def test_what_is_explained_is_what_happens(self, engine: Engine):
        with Registry.local(engine) as registry:
            for name in ("node", "ci"):
                pull, push = registry.access.explain_pull(name, IMAGE), registry.access.explain_push(name, IMAGE)
                steps = {s.action: s.decision.allowed for s in (*pull.steps, *push.steps)}
                assert steps["ecr:PutImage"] == (name == "ci")
                assert steps["ecr:BatchGetImage"] == (name == "node")
                assert pull.allowed == (name == "node") and push.allowed == (name == "ci")
            absent = f"arn:aws:iam::{ME}:role/absent"
            unknown = registry.access.explain_pull(absent, IMAGE)
            assert unknown.outcome == "Unknown" and f"{absent} is no principal" in unknown.explain()

    def test_a_caller_that_is_nobody(self):
        with pytest.raises(InvalidInput, match="'nod' is no principal"):
            Registry.local(principals=PRINCIPALS, caller="nod")


class TestTwoAccounts:
    """Across accounts the identity policy and the repository policy must both allow."""

    @pytest.fixture
    def partner(self, engine: Engine):
        arn = f"arn:aws:iam::{PARTNER}:role/node"
        engine.enforce({**PRINCIPALS, "partner": LocalPrincipal(arn=arn, identity=presets.pull(HERE)),
                        "bare": LocalPrincipal(arn=f"arn:aws:iam::{PARTNER}:role/bare")})  # fmt: skip
        return engine

    def share(self, engine: Engine) -> None:
        text = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": PARTNER},
                "Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]}]}  # fmt: skip
        with Registry.local(engine) as registry:
            plan = registry.access.plan_repository("team/app", text)
            assert registry.access.apply(plan).action == "put"

    def test_both_sides(self, partner: Engine):
        partner.enforcement, guard = None, partner.enforcement
        pushed(client(partner))
        partner.enforcement = guard
        with Registry.local(partner, caller="partner") as registry:
            assert registry.registry_id == ME
            with pytest.raises(Denied, match="no resource-based policy allows"):
                registry.gateway.manifest_of("team/app", "v1")
            assert not registry.access.explain_pull("partner", IMAGE).allowed
            self.share(partner)
            assert registry.gateway.manifest_of("team/app", "v1").digest
            # The partner cannot read the policies of this account: it cannot tell, though the pull works.
            assert registry.access.explain_pull("partner", IMAGE).outcome == "Unknown"
        with Registry.local(partner) as owner:
            assert owner.access.explain_pull("partner", IMAGE).allowed
            assert owner.access.explain_pull("bare", IMAGE).outcome == "ImplicitlyDenied"
        with Registry.local(partner, caller="bare") as registry, pytest.raises(Denied, match="identity-based"):
            registry.gateway.manifest_of("team/app", "v1")

    def test_survey_sees_the_share(self, partner: Engine):
        partner.call("CreateRepository", {"repositoryName": "closed"})
        self.share(partner)
        before = len(partner.calls)
        with Registry.local(partner) as registry:
            report = registry.access.readable_from_outside()
            assert [(e.repository, e.who) for e in report.exposures] == [("team/app", PARTNER)]
            assert report.calls == len(partner.calls) - before
            assert registry.access.readable_from_outside(accounts=[PARTNER]).closed
        with Registry.local(partner, caller="ci") as registry, pytest.raises(Denied):
            registry.access.readable_from_outside()

    def test_registry_policy_through_plan(self, engine: Engine):
        with Registry.local(engine) as registry:
            source = {"Version": "2012-10-17", "Statement": [{
                "Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{PARTNER}:root"}, "Action": "ecr:ReplicateImage",
                "Resource": f"arn:aws:ecr:{REGION}:{ME}:repository/team/*"}]}  # fmt: skip
            assert registry.access.apply(registry.access.plan_registry(source)).action == "put"
            assert registry.access.apply(registry.access.plan_registry(source)).action == "unchanged"
            assert registry.gateway.registry_policy_scope() == "V2"
            assert registry.gateway.delete_registry_policy() and registry.gateway.registry_policy() is None


class TestDiagnose:
    """Probes of a live registry confirm what a text only suggests."""

    def test_archived(self, engine: Engine):
        digest = pushed(client(engine, caller="ci"))
        failure = f'Failed to pull image "{IMAGE}": {IMAGE}: not found'
        with Registry.local(engine) as registry:
            there = registry.access.diagnose(failure, probe=True, read_manifest=True)
            assert [o.answer for o in there.observations][:2] == ["ACTIVE", "read"]
            registry.gateway.update_storage_class("team/app", digest, "archive")
            found = registry.access.diagnose(failure, probe=True)
            assert (found.likeliest.code, found.confirmed) == ("image-archived", True)
        with Registry.local(engine, caller="node") as registry:
            found = registry.access.diagnose(failure, probe=True)
            assert any("not allowed to whoever diagnoses" in n for n in found.notes)


class TestOverHttp:
    """The server knows principals by access key, and registry clients by the token they logged in with."""

    def test_access_key_names_the_principal(self, engine: Engine):
        import boto3

        with serve(engine) as server:

            def gateway(key: str) -> Registry:
                session = boto3.Session(aws_access_key_id=key, aws_secret_access_key="x", region_name=REGION)
                return Registry.from_session(session, endpoint_url=server.url)

            with gateway("node") as node, pytest.raises(Denied, match="assumed-role/node/ecrkit"):
                node.repositories().all()
            with gateway(ME) as root:
                assert [r.name for r in root.repositories()] == ["team/app"]
            with gateway("mistyped") as nobody, pytest.raises((CredentialsMissing, AwsCallFailed), match="invalid"):
                nobody.repositories().all()

    @pytest.fixture
    def layout(self, tmp_path: Path) -> Path:
        two_platforms(tmp_path / "layout", "v1")
        return tmp_path / "layout"

    def skopeo(self, server: LocalServer, folder: Path, caller: str, *words: str) -> subprocess.CompletedProcess[str]:
        password, _ = server.engine.issue_token(caller=caller)
        login = base64.b64encode(f"AWS:{password}".encode()).decode()
        auth = folder / f"{caller}.json"
        auth.write_text(json.dumps({"auths": {server.host: {"auth": login}}}))
        return subprocess.run(
            [require_tool("skopeo"), "--insecure-policy", "copy", "--all", *words],
            env={"PATH": os.environ["PATH"], "HOME": str(folder), "REGISTRY_AUTH_FILE": str(auth)},
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip

    def test_skopeo(self, engine: Engine, layout: Path, tmp_path: Path):
        with serve(engine) as server:
            target = f"docker://{server.host}/team/app:v1"
            push = ("--dest-tls-verify=false", f"oci:{layout}:v1", target)
            refused = self.skopeo(server, tmp_path, "node", *push)
            assert refused.returncode and "403 (Forbidden)" in refused.stderr
            assert engine.registry().repository("team/app").images == {}
            for _ in range(2):  # a second push of the same image changes nothing and needs no further permission
                done = self.skopeo(server, tmp_path, "ci", *push)
                assert done.returncode == 0, done.stderr
            pulled = self.skopeo(server, tmp_path, "node", "--src-tls-verify=false", target, f"oci:{tmp_path}/out:v1")
            assert pulled.returncode == 0, pulled.stderr
            blind = self.skopeo(server, tmp_path, "ci", "--src-tls-verify=false", target, f"oci:{tmp_path}/none:v1")
            assert blind.returncode and "not authorized to perform: ecr:BatchGetImage" in blind.stderr

    @pytest.mark.parametrize(
        "gone", ["BatchCheckLayerAvailability", "InitiateLayerUpload", "UploadLayerPart", "CompleteLayerUpload",
                 "PutImage"],
    )  # fmt: skip
    def test_each_action_of_a_push_is_needed(self, engine: Engine, layout: Path, tmp_path: Path, gone: str):
        deny = {"Effect": "Deny", "Action": f"ecr:{gone}", "Resource": "*"}
        engine.enforce({"ci": [presets.push(HERE), {"Version": "2012-10-17", "Statement": [deny]}]})
        with serve(engine) as server:
            done = self.skopeo(
                server, tmp_path, "ci", "--dest-tls-verify=false", f"oci:{layout}:v1",
                f"docker://{server.host}/team/app:v1",
            )  # fmt: skip
        assert done.returncode
        assert {d.request.action for d in engine.enforcement.denied} == {f"ecr:{gone}"}


class TestStepsOfAnUpload:
    """Each request of an upload is decided, also those that the API does not see as calls."""

    PUSH = ("InitiateLayerUpload", "UploadLayerPart", "CompleteLayerUpload")

    def asked(self, server: LocalServer, method: str, path: str, body: bytes = b"") -> tuple[int, str]:
        password, _ = server.engine.issue_token(caller="ci")
        login = base64.b64encode(f"AWS:{password}".encode()).decode()
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        try:
            connection.request(method, path, body=body, headers={"Authorization": f"Basic {login}"})
            answer = connection.getresponse()
            answer.read()
            return answer.status, answer.getheader("Location", "")
        finally:
            connection.close()

    def allow(self, engine: Engine, *actions: str, repository: str = "*") -> None:
        arn = f"arn:aws:ecr:{REGION}:{ME}:repository/{repository}"
        statement = {"Effect": "Allow", "Action": [f"ecr:{a}" for a in actions], "Resource": arn}
        engine.enforce({"ci": {"Version": "2012-10-17", "Statement": [statement]}})

    def test_patch_and_cancel(self, engine: Engine):
        with serve(engine) as server:
            self.allow(engine, *self.PUSH)
            status, upload = self.asked(server, "POST", "/v2/team/app/blobs/uploads/")
            assert status == 202
            self.allow(engine, "InitiateLayerUpload")
            assert self.asked(server, "PATCH", upload, b"x")[0] == 403
            self.allow(engine, "UploadLayerPart")
            assert self.asked(server, "PATCH", upload, b"x")[0] == 202
            assert self.asked(server, "PUT", f"{upload}?digest={sha(b'x')}")[0] == 403
            assert self.asked(server, "DELETE", upload)[0] == 403
            assert sha(b"x") not in engine.registry().repository("team/app").blobs
            self.allow(engine, *self.PUSH)
            assert self.asked(server, "PUT", f"{upload}?digest={sha(b'x')}")[0] == 201

    def test_mount_reads_the_source_and_writes_the_target(self, engine: Engine):
        engine.call("CreateRepository", {"repositoryName": "base"})
        engine.call("PutAccountSetting", {"name": "BLOB_MOUNTING", "value": "ENABLED"})
        engine.registry().put_blob("base", sha(b"x"), b"x")
        path = f"/v2/team/app/blobs/uploads/?mount={sha(b'x')}&from=base"
        target = engine.registry().repository("team/app")
        with serve(engine) as server:
            self.allow(engine, *self.PUSH)
            assert self.asked(server, "POST", path)[0] == 202  # an upload instead: the source may not be read
            self.allow(engine, "GetDownloadUrlForLayer")
            assert self.asked(server, "POST", path)[0] == 403
            assert target.blobs == {}
            self.allow(engine, *self.PUSH, "GetDownloadUrlForLayer")
            assert self.asked(server, "POST", path)[0] == 201
            assert sha(b"x") in target.blobs
