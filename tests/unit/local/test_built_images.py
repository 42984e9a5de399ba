"""Built images are real ones: tools read them, registries take them, and their digests never move."""

from __future__ import annotations

import datetime as dt
import gzip
import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecrkit.errors import InvalidInput
from ecrkit.images import Manifest
from ecrkit.local import Engine, ServiceFault, client
from ecrkit.local.images import artifact, filler, image, index, layer, push, write_oci_layout
from tests.support.shapes import CheckedEngine
from tests.support.tools import require_tool


def sha(data: bytes | str) -> str:
    return "sha256:" + hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()


def members(data: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
        return {member.name: member for member in archive}


BASE = filler(20_000, seed="base")
APP = layer({"app/main": "one", "etc/v": b"\0\1"}, executable=["app/main"])
ONE = image([BASE, APP], labels={"b": "2", "a": "1"})


class TestDigests:
    """The same input gives the same digest on every machine and Python: pinned here, and never to change."""

    @pytest.mark.parametrize(
        ("digest", "pinned"),
        [
            (BASE.digest, "3a62a2a3073fbe6aaedc1ad85439a8f811d4b073a69578c81e6c8a194648eea3"),
            (APP.digest, "5bea676823608bd09e643e1a7c192aca39f5aad9966c773de46da99d1689743b"),
            (APP.diff_id, "505e8d36c08ab9f2fc6810efc4040e261a275d2030960cd8a3bb1a639e824314"),
            (ONE.digest, "4607fd210e8b9f14db4f70d4850116c9d8715ca591bbad6b8bf8638cc9748a3a"),
            (
                image([BASE, APP], flavour="docker", platform="linux/arm64/v8").digest,
                "5ca31992170872975ddc9aba2578a949e078acf450c884756c2c21acfc96b122",
            ),
            (
                index([ONE], attestations="artifact").digest,
                "5c90a4dcbd2dbc5310400d4abff1b6160c1715d161db0cd09c58ec2fe4f01b4b",
            ),
            (
                index([ONE], attestations="image").digest,
                "fe31caaa24bf64fe638a07b838ac54c1d08b36d8e59e67c632355463ac0b6f5c",
            ),
            (
                artifact(ONE, "application/spdx+json", content="{}").digest,
                "0c3257702fee9d76d95dd7755cd9b2d187aed722cc0da230d59781f9de3b2854",
            ),
        ],
    )
    def test_pinned(self, digest: str, pinned: str) -> None:
        assert digest == f"sha256:{pinned}"

    def test_order_of_files_and_labels_makes_no_difference(self) -> None:
        again = layer({"etc/v": b"\0\1", "app/main": b"one"}, executable=("app/main",))
        assert again == APP
        assert image([BASE, again], labels={"a": "1", "b": "2"}).digest == ONE.digest

    @pytest.mark.parametrize(
        "other",
        [
            image([APP, BASE], labels={"b": "2", "a": "1"}),
            image([BASE, APP], labels={"b": "2", "a": "2"}),
            image([BASE, APP], labels={"b": "2", "a": "1"}, platform="linux/arm64"),
            image([BASE, APP], labels={"b": "2", "a": "1"}, created=dt.datetime(2026, 1, 2, tzinfo=dt.UTC)),
            image([BASE, APP], labels={"b": "2", "a": "1"}, config={"Cmd": ["/app/main"]}),
            image([BASE, APP], labels={"b": "2", "a": "1"}, annotations={"x": "y"}),
        ],
    )
    def test_every_input_counts(self, other: Any) -> None:
        assert other.digest != ONE.digest


class TestLayers:
    """A layer is a tar of the files with their folders, in a gzip frame (OCI image-spec, layer)."""

    def test_content_modes_folders(self) -> None:
        found = members(APP.data)
        assert list(found) == ["app", "app/main", "etc", "etc/v"]
        assert found["app"].isdir()
        assert found["app"].mode == 0o755
        assert (found["app/main"].mode, found["etc/v"].mode) == (0o755, 0o644)
        assert {(m.uid, m.gid, m.mtime) for m in found.values()} == {(0, 0, 0)}
        with tarfile.open(fileobj=io.BytesIO(APP.data), mode="r:gz") as archive:
            taken = archive.extractfile("etc/v")
            assert taken is not None
            assert taken.read() == b"\0\1"

    def test_diff_id_is_the_digest_of_the_tar(self) -> None:
        assert (sha(APP.data), sha(gzip.decompress(APP.data))) == (APP.digest, APP.diff_id)

    def test_compressed_is_smaller_and_has_the_same_diff_id(self) -> None:
        files = {"text": "to be or not to be " * 500}
        plain, packed = layer(files), layer(files, compress=True)
        assert packed.size < plain.size / 10
        assert packed.diff_id == plain.diff_id == sha(gzip.decompress(packed.data))

    def test_no_time_in_the_frame(self) -> None:
        assert APP.data[4:8] == bytes(4)
        assert layer({"a": "b"}, compress=True).data[4:8] == bytes(4)

    @given(st.dictionaries(st.text("ab/é.", min_size=1, max_size=140), st.binary(max_size=700), min_size=1, max_size=4))
    @settings(max_examples=80, deadline=None)
    def test_any_files_come_back_or_are_refused(self, files: dict[str, bytes]) -> None:
        try:
            made = layer(files)
        except InvalidInput:
            folders = {"/".join(p.split("/")[:n]) for p in files for n in range(1, p.count("/") + 1)}
            assert folders & files.keys() or any({"", ".", ".."} & {*p.split("/")} for p in files)
            return
        with tarfile.open(fileobj=io.BytesIO(made.data), mode="r:gz") as archive:
            found = {m.name: archive.extractfile(m).read() for m in archive if m.isfile()}  # type: ignore[union-attr]
        assert found == files

    @pytest.mark.parametrize("path", ["x" * 101, "d" * 120 + "/" + "f" * 100, "d" * 156 + "/f", "ü", "d/" * 60 + "f"])
    def test_long_and_foreign_paths(self, path: str) -> None:
        assert path in members(layer({path: "content"}).data)

    @pytest.mark.parametrize("path", ["/etc/passwd", "../up", "a/../b", "a//b", "", ".", "a/", "nul\0"])
    def test_paths_outside_are_refused(self, path: str) -> None:
        with pytest.raises(InvalidInput) as caught:
            layer({path: "x", "good": "y"})
        assert [p.path for p in caught.value.problems] == [f"files[{path!r}]"]

    def test_a_file_is_no_folder(self) -> None:
        with pytest.raises(InvalidInput, match="a file as well"):
            layer({"a": "x", "a/b": "y"})

    def test_no_files_and_unknown_executable_are_refused(self) -> None:
        with pytest.raises(InvalidInput, match="at least one"):
            layer({})
        with pytest.raises(InvalidInput, match="none of the files"):
            layer({"a": "x"}, executable=["b"])


class TestFiller:
    """A filler has exactly the size asked for, and is a real layer."""

    @pytest.mark.parametrize("size", [4096, 4097, 5000, 65_535, 65_536, 66_100, 131_070, 131_080, 200_003, 1_000_001])
    def test_exact(self, size: int) -> None:
        made = filler(size, seed="s")
        assert (made.size, sha(made.data)) == (size, made.digest)
        assert sha(gzip.decompress(made.data)) == made.diff_id
        assert [m.isfile() for m in members(made.data).values()][-1]

    @given(st.integers(4096, 140_000))
    @settings(max_examples=60, deadline=None)
    def test_every_size(self, size: int) -> None:
        made = filler(size)
        assert made.size == size
        assert len(gzip.decompress(made.data)) % 512 == 0

    def test_every_remainder_of_a_block(self) -> None:
        for size in range(5000, 5512):
            made = filler(size)
            assert made.size == size
            assert sha(gzip.decompress(made.data)) == made.diff_id

    def test_seeds_differ(self) -> None:
        assert filler(5000, seed="a").digest != filler(5000, seed="b").digest

    @pytest.mark.parametrize("size", [0, 4095, 2**30 + 1])
    def test_out_of_range(self, size: int) -> None:
        with pytest.raises(InvalidInput, match="4096 bytes to 1 GiB"):
            filler(size)


class TestManifests:
    """Manifest and config say what the layers are (OCI image-spec, manifest and config)."""

    @pytest.mark.parametrize("flavour", ["oci", "docker"])
    def test_image(self, flavour: Any) -> None:
        made = image([BASE, APP], platform="linux/arm64/v8", labels={"team": "a"}, flavour=flavour)
        parsed = Manifest.parse(made.manifest, digest=made.digest)
        assert parsed.media_type == made.media_type
        assert [one.digest for one in parsed.layers] == [BASE.digest, APP.digest]
        assert all(one.compression == "gzip" for one in parsed.layers)
        assert parsed.content_size == made.size == sum(map(len, made.blobs.values()))
        assert {digest: sha(data) for digest, data in made.blobs.items()} == {d: d for d in made.blobs}
        assert ("docker" in made.media_type) == (flavour == "docker")
        config = json.loads(made.blobs[parsed.config.digest])  # type: ignore[union-attr]
        assert (config["os"], config["architecture"], config["variant"]) == ("linux", "arm64", "v8")
        assert config["rootfs"] == {"type": "layers", "diff_ids": [BASE.diff_id, APP.diff_id]}
        assert config["config"]["Labels"] == {"team": "a"}
        assert [entry["created_by"] for entry in config["history"]] == [BASE.created_by, APP.created_by]
        assert config["created"] == "2026-01-01T00:00:00Z"

    def test_history_of_ones_own(self) -> None:
        lines: list[dict[str, Any]] = [{"created_by": "ADD"}, {"created_by": "ENV A=b", "empty_layer": True}]
        made = image([APP], history=lines)
        config = json.loads(next(iter(made.blobs.values())))
        assert config["history"] == lines
        with pytest.raises(InvalidInput, match="1 entries are not of an empty layer, there are 2 layers"):
            image([APP, BASE], history=lines)

    @pytest.mark.parametrize("platform", ["linux", "", "linux/", "a/b/c/d"])
    def test_no_platform(self, platform: str) -> None:
        with pytest.raises(InvalidInput, match="os/architecture"):
            image([APP], platform=platform)

    def test_a_time_has_a_zone(self) -> None:
        with pytest.raises(ValueError, match="created has no time zone"):
            image([APP], created=dt.datetime(2026, 1, 1))

    def test_docker_has_no_annotations(self) -> None:
        with pytest.raises(InvalidInput, match="use labels"):
            image([APP], flavour="docker", annotations={"a": "b"})
        with pytest.raises(InvalidInput, match="no annotations"):
            index([ONE], flavour="docker", attestations="image")

    def test_index(self) -> None:
        arm = image([BASE, APP], platform="linux/arm64")
        made = index([ONE, arm], annotations={"k": "v"})
        parsed = Manifest.parse(made.manifest, digest=made.digest)
        assert [str(one.platform) for one in parsed.manifests] == ["linux/amd64", "linux/arm64"]
        assert [one.size for one in parsed.manifests] == [len(ONE.manifest), len(arm.manifest)]
        assert made.size == max(ONE.size, arm.size)
        assert made.blobs.keys() == ONE.blobs.keys() | arm.blobs.keys()
        assert index([ONE], flavour="docker").media_type == "application/vnd.docker.distribution.manifest.list.v2+json"
        with pytest.raises(InvalidInput, match="at least one image"):
            index([])

    @pytest.mark.parametrize("layout", ["artifact", "image"])
    def test_attestations(self, layout: Any) -> None:
        made = index([ONE], attestations=layout)
        entry = Manifest.parse(made.manifest).manifests[1]
        assert entry.is_attestation
        assert entry.attests == ONE.digest
        proof = Manifest.parse(made.children[1].manifest, digest=entry.digest)
        assert proof.kind == "attestation"
        assert [one.media_type for one in proof.layers] == ["application/vnd.in-toto+json"]
        assert (proof.subject.digest if proof.subject else None) == (ONE.digest if layout == "artifact" else None)
        statement = json.loads(made.children[1].blobs[proof.layers[0].digest])
        assert statement["subject"][0]["digest"]["sha256"] == ONE.digest[7:]

    def test_artifact(self) -> None:
        made = artifact(ONE, "application/spdx+json", content="{}", annotations={"b": "2"})
        parsed = Manifest.parse(made.manifest, digest=made.digest)
        assert parsed.artifact_type == "application/spdx+json"
        assert parsed.subject is not None
        assert parsed.subject.digest == made.subject == ONE.digest
        bare = Manifest.parse(artifact(None, "text/x-note").manifest)
        assert bare.subject is None
        assert bare.layers[0].media_type == "application/vnd.oci.empty.v1+json"


class TestPush:
    """Blobs, children, then the manifest with its tag; what is there already is left alone."""

    def test_index_by_client_and_engine_alike(self) -> None:
        both = index([ONE, image([BASE, APP], platform="linux/arm64")], attestations="artifact")
        described: list[dict[str, Any]] = []
        for through_client in (True, False):
            engine = CheckedEngine()
            engine.call("CreateRepository", {"repositoryName": "app"})
            target = client(engine) if through_client else engine
            assert both.push(target, "app", "v1") == both.digest
            puts = [call.params for call in engine.calls if call.operation == "PutImage"]
            assert [p["imageDigest"] for p in puts] == [*(c.digest for c in both.children), both.digest]
            assert [p.get("imageTag") for p in puts] == [None] * 4 + ["v1"]
            found = engine.call("DescribeImages", {"repositoryName": "app"})["imageDetails"]
            described.append({d["imageDigest"]: d for d in found})
        assert described[0] == described[1]
        assert described[0][both.digest]["imageSizeInBytes"] == both.size
        assert described[0][ONE.digest]["imageSizeInBytes"] == ONE.size

    def test_shared_layers_are_sent_once(self) -> None:
        engine = CheckedEngine()
        engine.call("CreateRepository", {"repositoryName": "app"})
        push(ONE, engine, "app", "v1")
        other = image([BASE, layer({"app/main": "two"})])
        push(other, engine, "app", "v2")
        sent = [c.params["layerDigests"][0] for c in engine.calls if c.operation == "CompleteLayerUpload"]
        assert len(sent) == len(set(sent)) == len(ONE.blobs.keys() | other.blobs.keys())

    def test_again_changes_nothing(self) -> None:
        engine = CheckedEngine()
        engine.call("CreateRepository", {"repositoryName": "app"})
        for target in (engine, client(engine)):
            push(ONE, target, "app", "v1")
        assert len(engine.call("DescribeImages", {"repositoryName": "app"})["imageDetails"]) == 1

    def test_large_layers_go_in_parts(self) -> None:
        engine = Engine()
        engine.call("CreateRepository", {"repositoryName": "app"})
        push(image([filler(11_000_000)]), engine, "app")
        parts = [c.params for c in engine.calls if c.operation == "UploadLayerPart"]
        assert [(p["partFirstByte"], p["partLastByte"]) for p in parts[-2:]] == [
            (0, 10_485_759),
            (10_485_760, 10_999_999),
        ]

    def test_a_referrer(self) -> None:
        engine = CheckedEngine()
        engine.call("CreateRepository", {"repositoryName": "app"})
        push(ONE, engine, "app", "v1")
        note = artifact(ONE, "application/spdx+json", content="{}")
        push(note, engine, "app")
        found = engine.call("ListImageReferrers", {"repositoryName": "app", "subjectId": {"imageDigest": ONE.digest}})
        assert [r["digest"] for r in found["referrers"]] == [note.digest]

    def test_refusals_come_through(self) -> None:
        with pytest.raises(ServiceFault, match="RepositoryNotFoundException"):
            push(ONE, Engine(), "app")
        ecr = client(Engine())
        with pytest.raises(ecr.exceptions.RepositoryNotFoundException):
            push(ONE, ecr, "app")


class TestLayout:
    """An OCI layout folder (OCI image-spec, image layout), read by other projects' tools."""

    def test_skopeo_reads_it(self, tmp_path: Path) -> None:
        skopeo = require_tool("skopeo")
        both = index([ONE, image([BASE, APP], platform="linux/arm64")])
        write_oci_layout(both, tmp_path / "here", "v1")
        ONE.write_oci_layout(tmp_path / "here", "single")

        def run(*words: str) -> bytes:
            return subprocess.run([skopeo, *words], check=True, capture_output=True, timeout=60).stdout

        raw = run("inspect", "--raw", f"oci:{tmp_path / 'here'}:v1")
        assert sha(raw) == both.digest
        told = json.loads(run("inspect", f"oci:{tmp_path / 'here'}:single"))
        assert told["Digest"] == ONE.digest
        assert told["Layers"] == [BASE.digest, APP.digest]
        assert told["Labels"] == {"a": "1", "b": "2"}
        run("copy", "--all", f"oci:{tmp_path / 'here'}:v1", f"dir:{tmp_path / 'there'}")
        assert sha((tmp_path / "there" / "manifest.json").read_bytes()) == both.digest

    def test_umoci_unpacks_it(self, tmp_path: Path) -> None:
        umoci = require_tool("umoci")
        write_oci_layout(image([BASE, APP, layer({"app/.wh.main": "", "app/next": "two"})]), tmp_path / "here", "v1")
        words = [umoci, "unpack", "--rootless", "--image", f"{tmp_path / 'here'}:v1", str(tmp_path / "bundle")]
        subprocess.run(words, check=True, capture_output=True, timeout=60)
        rootfs = tmp_path / "bundle" / "rootfs"
        assert (rootfs / "app" / "next").read_text() == "two"
        assert not (rootfs / "app" / "main").exists()
        assert (rootfs / "etc" / "v").read_bytes() == b"\0\1"

    def test_a_tag_moves_and_others_stay(self, tmp_path: Path) -> None:
        two = image([APP])
        for built, tag in ((ONE, "v1"), (ONE, "old"), (two, "v1"), (two, None), (two, None)):
            write_oci_layout(built, tmp_path, tag)
        listed = json.loads((tmp_path / "index.json").read_text())["manifests"]
        named = [(e["digest"], (e.get("annotations") or {}).get("org.opencontainers.image.ref.name")) for e in listed]
        assert named == [(ONE.digest, "old"), (two.digest, "v1"), (two.digest, None)]
        assert not (tmp_path / "index.json.new").exists()

    def test_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidInput, match="flavour='oci'"):
            write_oci_layout(image([APP], flavour="docker"), tmp_path / "docker")
        assert not (tmp_path / "docker").exists()
        (tmp_path / "precious").write_text("mine")
        with pytest.raises(InvalidInput, match=r"has files but no index\.json"):
            write_oci_layout(ONE, tmp_path)
        (tmp_path / "index.json").write_text("[]")
        with pytest.raises(InvalidInput, match=r"index\.json: cannot be read"):
            write_oci_layout(ONE, tmp_path)
        assert sorted(p.name for p in tmp_path.iterdir()) == ["index.json", "precious"]
        shutil.rmtree(tmp_path)
