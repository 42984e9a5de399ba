"""Saved snapshots: nothing is lost, nothing hostile is believed, and every version ever written loads."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import pickle
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs
import pytest

from ecrkit.errors import InvalidInput
from ecrkit.records import Image
from ecrkit.snapshot import Gap, Limits, NotRead, RepositorySnapshot, Snapshot, load, read_repositories
from tests.support.snapshots import NOW, image, manifest, record, repository, snapshot

GOLDEN = Path(__file__).parents[2] / "golden" / "snapshot"


def full() -> Snapshot:
    """A snapshot in which everything occurs that the format can say."""
    raw = manifest("golden", "one", "two")
    gone = manifest("archived")
    rich = attrs.evolve(
        record("team/rich"), tag_mutability="IMMUTABLE_WITH_EXCLUSION", mutability_exclusions=("dev-*",),
        encryption_type="KMS", kms_key="arn:aws:kms:eu-west-1:123456789012:key/1", scan_on_push=True,
        created_at=NOW - dt.timedelta(days=1, microseconds=1),
    )  # fmt: skip
    images = [
        image(
            raw, "team/rich", tags=("v1", "größe-☃"), last_pulled_at=NOW + dt.timedelta(microseconds=5),
            artifact_media_type="application/vnd.oci.image.config.v1+json", subject_digest=gone.digest,
        ),
        image(gone, "team/rich", status="ARCHIVED", size=None, last_archived_at=NOW, last_activated_at=NOW),
    ]  # fmt: skip
    unreadable = Gap(what="images", repository="team/gap", error='no "rights"\n', call="DescribeImages")
    return snapshot(
        repository("team/app"),
        RepositorySnapshot(
            repository=rich, read_at=NOW, read=["images", "manifests", "tags", "lifecycle_policy", "repository_policy"],
            images=images, manifests=[raw], unread={gone.digest: "ARCHIVED"}, tags={"Team": "größe"},
            lifecycle_policy='{"rules": []}', repository_policy="{}",
        ),
        RepositorySnapshot(repository=record("team/gap"), read_at=NOW, gaps=[unreadable]),
        settings={"registry_policy": None, "account_settings": {"BLOB_MOUNTING": "ENABLED"}},
        gaps=[Gap(what="creation_templates", repository=None, error="denied", call="X")],
        finished_at=NOW + dt.timedelta(minutes=3),
    )  # fmt: skip


class TestRoundTrip:
    def test_everything_comes_back(self, tmp_path):
        made = full()
        loaded = load(made.save(tmp_path / "a.jsonl.gz"))
        assert loaded == made
        assert loaded.finished_at == made.finished_at and loaded.gaps == made.gaps
        assert [entry.to_dict() for entry in loaded.entries()] == [entry.to_dict() for entry in made.entries()]
        assert list(read_repositories(tmp_path / "a.jsonl.gz")) == list(made.entries())

    def test_equal_snapshots_give_equal_bytes(self, tmp_path):
        one, two = full().save(tmp_path / "1").read_bytes(), full().save(tmp_path / "2").read_bytes()
        assert one == two == load(tmp_path / "1").save(tmp_path / "3").read_bytes()

    def test_unpacked_and_packed_again_by_other_tools(self, tmp_path):
        made = full()
        text = gzip.decompress(made.save(tmp_path / "a").read_bytes())
        (tmp_path / "plain").write_bytes(text)
        (tmp_path / "again").write_bytes(gzip.compress(text))
        half = len(text) // 2
        (tmp_path / "halves").write_bytes(gzip.compress(text[:half]) + gzip.compress(text[half:]))
        for name in ("plain", "again", "halves"):
            assert load(tmp_path / name) == made
            assert list(read_repositories(tmp_path / name)) == list(made.entries())

    def test_what_was_not_read_stays_unread(self, tmp_path):
        loaded = load(full().save(tmp_path / "a"))
        with pytest.raises(NotRead, match='no "rights"'):
            _ = loaded["team/gap"].inventory
        assert loaded["team/rich"].unread == full()["team/rich"].unread

    def test_the_file_may_be_replaced_or_deleted_while_it_is_read(self, tmp_path):
        path = full().save(tmp_path / "a")
        loaded = load(path)
        snapshot().save(path)
        assert loaded == full() and len(load(path)) == 0
        path.unlink()
        assert loaded == full()

    def test_threads_and_processes_may_read_it(self, tmp_path):
        loaded = load(full().save(tmp_path / "a"))
        with ThreadPoolExecutor(8) as pool:
            assert len({len(entry.kept[0]) for entry in pool.map(loaded.__getitem__, ["team/app"] * 64)}) == 1
        assert pickle.loads(pickle.dumps(loaded)) == loaded
        assert pickle.loads(pickle.dumps(full())) == loaded

    def test_a_fault_while_saving_leaves_the_old_file_and_nothing_else(self, tmp_path, monkeypatch):
        path = full().save(tmp_path / "a")
        before = path.read_bytes()
        broken = full()
        monkeypatch.setattr(type(broken), "_last_line", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            broken.save(path)
        assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["a"]

    def test_names_of_repositories_never_become_paths(self, tmp_path):
        evil = repository("team/app", repository=record("../../evil"))
        folder = tmp_path / "deep" / "folder"
        folder.mkdir(parents=True)
        load(snapshot(evil).save(folder / "a"))
        assert sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*")) == [
            "deep", "deep/folder", "deep/folder/a",
        ]  # fmt: skip


class TestGolden:
    """Each version that was ever written must load for ever; `v1.json` says what it holds."""

    @pytest.mark.parametrize("version", ["v1"])
    def test_loads(self, version):
        loaded = load(GOLDEN / f"{version}.jsonl.gz")
        told = {
            "header": loaded.header.to_dict(),
            "settings": dict(loaded.settings),
            "gaps": [gap.to_dict() for gap in loaded.gaps],
            "repositories": [
                entry.to_dict()
                | {"manifests": [m.to_dict() for m in entry.kept[1]], "unread": dict(entry.unread)}
                for entry in loaded.entries()
            ],
        }  # fmt: skip
        assert told == json.loads((GOLDEN / f"{version}.json").read_text(encoding="utf-8"))

    def test_the_newest_is_what_is_written_now(self):
        assert load(GOLDEN / "v1.jsonl.gz") == full()


def hostile(tmp_path: Path, change) -> Path:
    """The lines of a good file, changed."""
    lines = gzip.decompress(full().save(tmp_path / "good").read_bytes()).split(b"\n")[:-1]
    path = tmp_path / "bad"
    path.write_bytes(gzip.compress(b"".join(line + b"\n" for line in change(lines))))
    return path


def edited(number: int, **members: object):
    def change(lines):
        raw = json.loads(lines[number])
        lines[number] = json.dumps(raw | members).encode()
        return lines

    return change


def everything(path: Path, limits: Limits | None = None) -> None:
    for _ in load(path, limits=limits).entries():
        pass


class TestHostile:
    """Whatever a file says, the answer is a snapshot or an error that names path, line and remedy."""

    CASES = (
        ("no JSON", lambda lines: [lines[0], b"{", *lines[1:]], "line 2"),
        ("no object", lambda lines: [lines[0], b"[1]", *lines[1:]], "must be an object"),
        ("NaN", lambda lines: [lines[0], b'{"repository": NaN}', *lines[1:]], "NaN"),
        ("deep", lambda lines: [lines[0], b'{"a":' * 200_000, *lines[1:]], "nests too deep"),
        ("long number", lambda lines: [lines[0], b'{"a":' + b"1" * 6000 + b"}", *lines[1:]], "line 2"),
        ("not UTF-8", lambda lines: [lines[0], b'{"a":"\xff"}', *lines[1:]], "line 2"),
        ("no header", lambda lines: lines[1:], "is not the first line of a snapshot"),
        ("another format", edited(0, format="something"), "is not the first line"),
        ("a newer version", edited(0, version=2), "install a newer one"),
        ("version no number", edited(0, version=True), "version must be a int"),
        ("header members", edited(0, asked=[]), "asked must be a dict"),
        ("a naive time", edited(0, taken_at="2026-01-01T00:00:00"), "zone"),
        ("the same repository twice", lambda lines: [*lines[:5], *lines[1:]], "stands in the file twice"),
        ("wrong end", edited(4, end="other"), "but 'team/app' was begun"),
        ("too few images", edited(4, images=7), "its end says 7"),
        ("images no list", edited(2, images={}), "images must be a list"),
        ("images no objects", edited(2, images=[1]), "must be an object"),
        ("an image without digest", edited(2, images=[{"imagePushedAt": 1}]), "imageDigest"),
        ("manifests", edited(3, manifests=[["a", "b"]]), "digest, media type and text"),
        ("read", edited(4, read=[1]), "read must hold texts"),
        ("gaps", edited(4, gaps=[1]), "gaps must hold objects"),
        ("tags", edited(1, tags={"a": 1}), "tags must hold texts"),
        ("policy", edited(1, lifecycle_policy=1), "lifecycle_policy must be a str"),
        ("repository", edited(1, repository={"repositoryName": 1}), "repositoryName"),
        ("a stray line", lambda lines: [lines[0], b"{}", *lines[1:]], "is no line of a snapshot"),
        ("a line within", lambda lines: [*lines[:2], b"{}", *lines[2:]], "stands within team/app"),
        ("after the end", lambda lines: [*lines, b"{}"], "stands after the last line"),
        ("count", edited(-1, repositories=2), "counts 2 repositories"),
        ("no end", lambda lines: lines[:-1], "cut off"),
        ("nothing", lambda _: [], "empty"),
    )  # fmt: skip

    @pytest.mark.parametrize(("change", "message"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
    @pytest.mark.parametrize("read", [everything, lambda path: list(read_repositories(path))], ids=["load", "stream"])
    def test_is_refused(self, tmp_path, change, message, read):
        path = hostile(tmp_path, change)
        with pytest.raises(InvalidInput, match=message) as caught:
            read(path)
        assert f"{path}, line " in str(caught.value)
        assert caught.value.problems[0].message.count(";") >= 1  # the remedy

    def test_cut_off_at_every_byte(self, tmp_path):
        path = snapshot(repository("team/app", images=1)).save(tmp_path / "good")
        packed = path.read_bytes()
        bad = tmp_path / "bad"
        for end in range(len(packed)):
            bad.write_bytes(packed[:end])
            with pytest.raises(InvalidInput, match="line"):
                everything(bad)

    def test_a_flipped_bit_anywhere_is_an_error_or_changes_nothing(self, tmp_path):
        made = snapshot(repository("team/app", images=1))
        packed = made.save(tmp_path / "good").read_bytes()
        bad = tmp_path / "bad"
        for at in range(0, len(packed), 3):
            bad.write_bytes(packed[:at] + bytes([packed[at] ^ 0x10]) + packed[at + 1 :])
            try:
                loaded = load(bad)
                same = loaded == made
            except InvalidInput:
                continue
            assert same, at

    def test_a_bomb_is_stopped_by_the_length_of_a_line(self, tmp_path):
        path = tmp_path / "bomb"
        path.write_bytes(gzip.compress(b'{"a":"' + b"0" * 3_000_000))
        with pytest.raises(InvalidInput, match="longer than 1000000 bytes"):
            load(path, limits=Limits(line=1_000_000))

    def test_a_bomb_is_stopped_by_its_expansion(self, tmp_path):
        path = tmp_path / "bomb"
        packer = zlib.compressobj(9, zlib.DEFLATED, 31)
        filler = (b" " * 999_999 + b"\n") * 80
        path.write_bytes(packer.compress(filler) + packer.flush())
        with pytest.raises(InvalidInput, match="line"):
            load(path)
        good = full().save(tmp_path / "good").read_bytes()
        member = zlib.compressobj(9, zlib.DEFLATED, 31)
        body = b'{"images":[' + b" " * 900_000 + b"]}\n"
        begun = gzip.decompress(good).split(b"\n")[:2]
        data = b"\n".join(begun) + b"\n" + body * 120
        path.write_bytes(member.compress(data) + member.flush())
        with pytest.raises(InvalidInput, match="unpacks to more than 300 times"):
            load(path)

    def test_a_repository_that_shares_its_member_with_another(self, tmp_path):
        lines = gzip.decompress(full().save(tmp_path / "good").read_bytes()).split(b"\n")[:-1]
        path = tmp_path / "odd"
        joined = [b"".join(line + b"\n" for line in part) for part in (lines[:1], lines[1:-1], lines[-1:])]
        path.write_bytes(b"".join(map(gzip.compress, joined)))
        loaded = load(path)
        assert loaded == full()
        assert load(loaded.save(tmp_path / "mended")) == full()
        assert (tmp_path / "mended").read_bytes() == (tmp_path / "good").read_bytes()

    def test_a_repository_over_several_members(self, tmp_path):
        lines = gzip.decompress(full().save(tmp_path / "good").read_bytes()).split(b"\n")[:-1]
        path = tmp_path / "odd"
        path.write_bytes(b"".join(gzip.compress(line + b"\n") for line in lines))
        assert load(path) == full() == load(load(path).save(tmp_path / "mended"))
        text = b"".join(line + b"\n" for line in lines)
        path.write_bytes(b"".join(gzip.compress(text[at : at + 100]) for at in range(0, len(text), 100)))
        assert load(path) == full() == load(load(path).save(tmp_path / "mended"))

    def test_a_file_that_changes_in_place_after_it_was_loaded(self, tmp_path):
        path = full().save(tmp_path / "a")
        loaded = load(path)
        size = path.stat().st_size
        with path.open("r+b") as target:
            target.write(b"\0" * size)
        with pytest.raises(InvalidInput, match="line"):
            _ = loaded["team/app"]


class TestMemory:
    """Images stay packed: what a loaded snapshot holds grows with repositories and not with images."""

    def test_images_cost_nothing_until_they_are_asked_for(self, tmp_path):
        import tracemalloc

        raw = manifest("many")
        images = [
            Image(digest=f"sha256:{n:064x}", pushed_at=NOW, tags=(f"v{n}",), size=n, repository="team/many",
                  registry_id="123456789012")
            for n in range(20_000)
        ]  # fmt: skip
        path = snapshot(repository("team/many", images=0).__class__(
            repository=record("team/many"), read_at=NOW, read=["images"], images=images, manifests=[raw],
        )).save(tmp_path / "many")  # fmt: skip
        del images
        tracemalloc.start()
        loaded = load(path)
        kept = tracemalloc.get_traced_memory()[0]
        entry = loaded["team/many"]
        unpacked = tracemalloc.get_traced_memory()[0] - kept
        tracemalloc.stop()
        assert len(entry.images) == 20_000
        assert kept < 300_000, kept
        assert unpacked / 20_000 < 1_000, unpacked

    def test_what_repeats_is_one_object(self, tmp_path):
        loaded = load(full().save(tmp_path / "a"))
        one, two = loaded["team/app"].images
        assert one.repository is two.repository and one.manifest_media_type is two.manifest_media_type
        policies = load(
            snapshot(*(repository(n, lifecycle_policy='{"rules":[]}') for n in ("aa", "bb"))).save(tmp_path / "b")
        ).lifecycle_policies()
        assert policies["aa"] is policies["bb"]
