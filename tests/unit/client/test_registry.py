"""`Registry` wires gateways to domains and adds nothing of its own."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import pickle
import threading

import pytest

from ecrkit import Registry, errors
from ecrkit.aws.session import offline_session
from ecrkit.local import Engine, ServiceFault

OCI = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
POLICY = {
    "rules": [
        {
            "rulePriority": 1,
            "selection": {"tagStatus": "untagged", "countType": "imageCountMoreThan", "countNumber": 1},
            "action": {"type": "expire"},
        }
    ]
}


@pytest.fixture(scope="module")
def shared():
    registry = Registry.local()
    registry.gateway.create_repository("team/app")
    for number in range(3):
        push(registry, "team/app", f"layer {number}")
    child = push(registry, "team/app", "child")
    text = json.dumps(
        {"schemaVersion": 2, "mediaType": INDEX, "manifests": [{"mediaType": OCI, "digest": child, "size": 1}]}
    )
    index = registry.gateway.put_image("team/app", text, tag="v1").digest
    registry.engine.advance(dt.timedelta(days=3))
    return registry, index, child


def push(registry, repository, content):
    blobs = [b"{}", content.encode()]
    digests = [f"sha256:{hashlib.sha256(blob).hexdigest()}" for blob in blobs]
    for blob, digest in zip(blobs, digests, strict=True):
        registry.gateway.upload_layer(repository, [blob], digest=digest)
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digests[0], "size": 2},
        "layers": [
            {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digests[1], "size": len(blobs[1])}
        ],
    }
    return registry.gateway.put_image(repository, json.dumps(manifest)).digest


class TestLocal:
    """The embedded ECR is explicit, needs no account, and is never a silent fallback."""

    def test_account_and_region(self):
        with Registry.local(account="210987654321", region="eu-central-1") as registry:
            made = registry.gateway.create_repository("app")
            assert made.arn == "arn:aws:ecr:eu-central-1:210987654321:repository/app"
            assert (registry.region, registry.registry_id) == ("eu-central-1", None)

    def test_two_accounts_share_an_engine(self):
        engine = Engine()
        one, two = (Registry.local(engine, account=account) for account in ("111111111111", "222222222222"))
        one.gateway.create_repository("app")
        assert [r.name for r in one.repositories()] == ["app"]
        assert two.repositories().all() == ()
        assert one.engine is two.engine is engine

    def test_no_account_number(self):
        for wrong in ("12345678901", "12345678901x", "١٢٣٤٥٦٧٨٩٠١٢"):
            with pytest.raises(errors.InvalidInput, match="12 digits"):
                Registry.local(account=wrong)

    def test_no_profile_of_the_user_is_read(self, monkeypatch):
        monkeypatch.setenv("AWS_PROFILE", "nobody")
        assert Registry.local().repositories().all() == ()

    def test_the_clock_is_the_engines(self):
        registry = Registry.local()
        assert registry.clock is registry.engine.clock

    def test_throttled_without_moving_the_engines_time(self):
        registry = Registry.local(workers=1)
        registry.gateway.create_repository("app")
        for _ in range(40):
            registry.images("app").all()
        refused = []

        def once(call):
            if not refused:
                refused.append(call)
                raise ServiceFault("ThrottlingException", "Rate exceeded")

        registry.engine.before_call.append(once)
        before = registry.engine.clock.now()
        assert registry.images("app").all() == ()
        assert len(refused) == 1
        assert registry.engine.clock.now() == before
        assert registry.aws.learned_rates()["ecr:DescribeImages"] > 1


class TestReading:
    """Listings are lazy; an inventory reads the indexes' manifests unless told not to."""

    def test_nothing_is_called_before_it_is_asked(self, shared):
        registry, _, _ = shared
        before = len(registry.engine.calls)
        listings = registry.repositories(), registry.images("team/app"), registry.lifecycle, registry.gateway
        assert len(registry.engine.calls) == before
        assert len(listings[1].all()) == 5
        assert registry.repository("team/app").name == "team/app"

    def test_inventory(self, shared):
        registry, index, child = shared
        seen = []
        inventory = registry.inventory("team/app", on_progress=seen.append)
        assert inventory.children_of(index) == (child,)
        assert inventory.opaque_indexes == ()
        assert len(inventory) == 5
        assert seen

    def test_inventory_without_manifests(self, shared):
        registry, index, _ = shared
        before = len(registry.engine.calls)
        inventory = registry.inventory("team/app", manifests="none")
        assert [image.digest for image in inventory.opaque_indexes] == [index]
        assert {call.operation for call in registry.engine.calls[before:]} == {"DescribeImages"}

    def test_a_missing_repository(self, shared):
        with pytest.raises(errors.NotFound, match="ecr DescribeImages for nobody/here"):
            shared[0].inventory("nobody/here")

    def test_threads_share_a_registry(self, shared):
        registry, _, _ = shared
        found = []
        threads = [
            threading.Thread(target=lambda: found.append(len(registry.images("team/app").all()))) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [5] * 8


class TestLifecycle:
    """The domain's service, wired to this registry's gateway and clock."""

    def test_dry_run_writes_nothing(self, shared):
        registry, index, child = shared
        before = len(registry.engine.calls)
        run = registry.lifecycle.dry_run("team/app", POLICY)
        assert len(run.expired) == 2
        assert run.outcome(child).action == run.outcome(index).action == "keep"
        operations = {call.operation for call in registry.engine.calls[before:]}
        assert operations == {"DescribeImages", "BatchGetImage"}

    def test_preview_agrees(self, shared):
        registry, _, _ = shared
        preview = registry.lifecycle.preview("team/app", POLICY)
        run = registry.lifecycle.dry_run("team/app", POLICY)
        assert {result.digest for result in preview.results} == set(run.expired)

    def test_one_service(self, shared):
        assert shared[0].lifecycle is shared[0].lifecycle


class TestSeams:
    """What later domains stand on."""

    def test_gateways_to_other_services_share_session_and_pace(self, shared):
        registry, _, _ = shared
        assert registry.aws.caller("sts") is registry.aws.caller("sts")
        assert registry.aws.region == registry.region

    def test_an_engine_is_only_a_local_registrys(self):
        registry = Registry.from_session(offline_session("eu-west-1"))
        with pytest.raises(TypeError, match=r"Registry.local\(\)"):
            _ = registry.engine


class TestItsEnd:
    """A closed registry says so."""

    def test_closed(self):
        with Registry.local() as registry:
            registry.repositories().all()
        with pytest.raises(RuntimeError, match="closed"):
            registry.repositories().all()


class TestPickling:
    """Clients do not pickle: a registry is rebuilt from what it was made of, or says why not."""

    def test_from_the_environment(self, monkeypatch):
        monkeypatch.setenv("AWS_REGION", "eu-north-1")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-north-1")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIASECRETSECRET")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "topsecret")
        monkeypatch.delenv("AWS_PROFILE", raising=False)
        registry = Registry.from_session(registry_id="210987654321", workers=3)
        data = pickle.dumps(registry)
        assert b"SECRET" not in data
        assert b"topsecret" not in data
        monkeypatch.delenv("AWS_REGION")
        monkeypatch.delenv("AWS_DEFAULT_REGION")
        again = pickle.loads(data)
        assert (again.region, again.registry_id, again.aws.workers) == ("eu-north-1", "210987654321", 3)

    @pytest.mark.parametrize("make", [Registry.local, lambda: Registry.from_session(offline_session("eu-west-1"))])
    def test_refused(self, make):
        with pytest.raises(TypeError, match="make a Registry in each process"):
            pickle.dumps(make())


class TestShown:
    """No secret is shown."""

    def test_repr(self):
        assert repr(Registry.local()) == "<Registry own in us-east-1 (embedded)>"
        registry = Registry.from_session(
            offline_session("eu-west-1"), registry_id="210987654321", endpoint_url="https://user:secret@127.0.0.1:1"
        )
        assert repr(registry) == "<Registry 210987654321 in eu-west-1 (AWS)>"
