"""Signs of use: recent pulls without scanners, Inspector, texts that name an image, images built on it."""

from __future__ import annotations

import datetime as dt

import attrs
import pytest

from ecrkit.deployments import (
    InUse,
    Use,
    Workload,
    named_in_folder,
    named_in_text,
    pulled_since,
    rested_on,
    seen_by_inspector,
)
from ecrkit.errors import InvalidInput
from ecrkit.events import ApiCall, CalledImage
from ecrkit.images import Inventory, base_images
from ecrkit.local.images import filler, image, index
from ecrkit.records import Image, RawManifest
from ecrkit.refs import RegistryHost

NOW = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)
HOST = RegistryHost.private("123456789012", "us-east-1")
D1, D2 = "sha256:" + "1" * 64, "sha256:" + "2" * 64
NODE = "arn:aws:iam::123456789012:role/node"
INSPECTOR = "arn:aws:iam::123456789012:role/aws-service-role/inspector2.amazonaws.com/AWSServiceRoleForAmazonInspector2"
_ids = iter(range(10**6))


def inventory(*images):
    return Inventory(images, repository="team/app")


def plain(digest, *tags, **more):
    return Image(digest=digest, tags=tags, pushed_at=NOW - dt.timedelta(days=90), **more)


def call(*, days=1, role=NODE, digest=None, tag=None, operation="BatchGetImage", repository="team/app", **more):
    return ApiCall(
        event_id=str(next(_ids)), source="aws.ecr", detail_type="x", account="123456789012", region="us-east-1",
        at=NOW - dt.timedelta(days=days), operation=operation, repository=repository, role=role,
        images=[CalledImage(digest=digest, tag=tag)], **more,
    )  # fmt: skip


class TestPulls:
    def test_by_the_last_pull_time(self):
        images = inventory(
            plain(D1, last_pulled_at=NOW - dt.timedelta(days=30)), plain(D2, last_pulled_at=NOW - dt.timedelta(days=31)),
            plain("sha256:" + "3" * 64),
        )  # fmt: skip
        [use] = pulled_since(images, HOST, now=NOW, days=30)
        assert (use.digest, use.reference) == (D1, f"{HOST}/team/app@{D1}")
        assert InUse([use]).in_inventory(images).digests == (D1,)

    def test_a_scanner_is_no_use(self):
        images = inventory(plain(D1, "v1", last_pulled_at=NOW), plain(D2, "v2", last_pulled_at=NOW))
        calls = [call(digest=D1, role=INSPECTOR), call(tag="v2")]
        [use] = pulled_since(images, HOST, now=NOW, days=30, calls=calls)
        assert (use.digest, use.workload.name, use.source) == (D2, f"by {NODE}", "CloudTrail")
        mine = pulled_since(images, HOST, now=NOW, days=30, calls=calls, scanners=["*:role/no*"])
        assert [u.digest for u in mine] == [D1]

    @pytest.mark.parametrize(
        "more",
        [
            {"days": 31}, {"repository": "other"}, {"operation": "PutImage"}, {"error_code": "AccessDenied"},
            {"digest": "sha256:" + "9" * 64}, {"digest": None, "tag": "gone"}, {"digest": None},
        ],
    )  # fmt: skip
    def test_what_is_no_pull_of_it(self, more):
        images = inventory(plain(D1, "v1", last_pulled_at=NOW))
        assert len(pulled_since(images, HOST, now=NOW, days=30, calls=[call(**({"digest": D1} | more))])) == 0

    def test_the_last_pull_names_who(self):
        calls = [call(digest=D1, days=1), call(digest=D1, days=5, role="arn:x"), call(digest=D1, days=3, role=None)]
        [use] = pulled_since(inventory(plain(D1)), HOST, now=NOW, days=30, calls=calls)
        assert (use.workload.name, use.since) == (f"by {NODE}", NOW - dt.timedelta(days=1))

    def test_a_tag_that_has_moved_since(self):
        """It was another image that was pulled: the pushes tell which, and without them nobody knows."""
        images = inventory(plain(D1), attrs.evolve(plain(D2, "latest"), pushed_at=NOW - dt.timedelta(days=2)))
        pull = call(tag="latest", days=5)
        blind = pulled_since(images, HOST, now=NOW, days=30, calls=[pull])
        assert (len(blind), [g.where.partition(" at ")[0] for g in blind.gaps]) == (0, ["pull of team/app:latest"])
        pushes = [
            call(tag="latest", digest=d, days=n, operation="PutImage", role="arn:x") for d, n in ((D2, 2), (D1, 9))
        ]
        [use] = pulled_since(images, HOST, now=NOW, days=30, calls=[pull, *pushes])
        assert use.digest == D1
        assert not pulled_since(images, HOST, now=NOW, days=30, calls=[pull, pushes[0]]).complete
        [use] = pulled_since(images, HOST, now=NOW, days=30, calls=[call(tag="latest", days=1), *pushes])
        assert use.digest == D2

    def test_a_time_beyond_all_times(self):
        images = inventory(plain(D1, last_pulled_at=NOW))
        assert len(pulled_since(images, HOST, now=NOW, days=10**30)) == 1


def finding(arn, **image):
    return {"resources": [{"id": arn, "details": {"awsEcrContainerImage": image}}]}


ARN = f"arn:aws:ecr:us-east-1:123456789012:repository/team/app/{D1}"


class TestInspector:
    def test_findings_and_coverage(self):
        answers = [
            finding(ARN, inUseCount=3), finding(ARN, inUseCount=3),
            {"resourceId": ARN.replace(D1, D2), "resourceMetadata": {"ecrImage": {"inUseCount": 1}}},
        ]  # fmt: skip
        found = seen_by_inspector(answers, now=NOW)
        assert [(u.digest, u.workload.name) for u in found] == [(D1, "3 running"), (D2, "1 running")]
        assert found.repositories == ("team/app",)

    @pytest.mark.parametrize(
        "image",
        [{"inUseCount": 0}, {}, {"inUseCount": None}, {"inUseCount": 0, "lastInUseAt": NOW - dt.timedelta(days=8)}],
    )
    def test_not_running(self, image):
        assert len(seen_by_inspector([finding(ARN, **image)], within=dt.timedelta(days=7), now=NOW)) == 0

    def test_running_not_long_ago(self):
        answer = finding(ARN, inUseCount=0, lastInUseAt=NOW - dt.timedelta(days=6))
        [use] = seen_by_inspector([answer], within=dt.timedelta(days=7), now=NOW)
        assert (use.workload.name, use.since) == ("not running now", NOW - dt.timedelta(days=6))
        assert len(seen_by_inspector([answer], now=NOW)) == 0

    @pytest.mark.parametrize("image", [{"inUseCount": "3"}, {"inUseCount": 0, "lastInUseAt": "yesterday"}])
    def test_what_cannot_be_read_is_a_gap(self, image):
        found = seen_by_inspector([finding(ARN, **image)], within=dt.timedelta(days=7), now=NOW)
        assert (len(found), len(found.gaps)) == (0, 1)

    def test_an_arn_that_names_no_image_is_a_gap(self):
        assert not seen_by_inspector([finding("nonsense", inUseCount=1)], now=NOW).complete

    @pytest.mark.parametrize(
        "answer", [{}, {"resources": "x"}, {"resources": [3]}, {"resourceMetadata": 3}, {"resources": [{"details": 3}]}]
    )
    def test_answers_about_other_things(self, answer):
        assert len(seen_by_inspector([answer], now=NOW)) == 0


class TestTexts:
    @pytest.mark.parametrize(
        ("line", "wanted"),
        [
            (f"image: {HOST}/team/app:v1", [f"{HOST}/team/app:v1"]),
            (f'"{HOST}/a/b@{D1}",', [f"{HOST}/a/b@{D1}"]),
            (f"FROM {HOST}/aa:1 AS x # {HOST}/bb:2", [f"{HOST}/aa:1", f"{HOST}/bb:2"]),
            ("image: 123456789012.dkr-ecr.eu-west-1.on.aws/app:v1", ["123456789012.dkr-ecr.eu-west-1.on.aws/app:v1"]),
            ("image: nginx:1", []),
            ("public.ecr.aws/a/b:1", []),
            (f"{HOST}", []),
        ],
    )
    def test_lines(self, line, wanted):
        found = named_in_text("\n" + line, name="f")
        assert [u.reference for u in found] == wanted
        assert {u.workload.name for u in found} <= {"f:2"}

    @pytest.mark.parametrize(
        "rest",
        [":${TAG}", ":$TAG", "${SUFFIX}:v1", "/$NAME", ":{{ .Values.tag }}", ":{tag}", ":%s", "-%s:v1", ":v1-$(sha)"],
    )
    def test_a_name_of_parts_is_a_gap_and_no_other_image(self, rest):
        found = named_in_text(f"image: {HOST}/team/app{rest}", name="f")
        assert len(found) == 0
        assert [g.where for g in found.gaps] == ["f:1"]

    @pytest.mark.parametrize(
        ("rest", "name"), [(".", ""), ("/ is full", ""), (":v1$", ":v1"), (":v1</i>", ":v1"), (":v1-", ":v1-")]
    )
    def test_the_end_of_a_name(self, rest, name):
        found = named_in_text(f"{HOST}/team/app{rest}", name="f")
        assert [u.reference for u in found] == [f"{HOST}/team/app{name}"]
        assert found.complete

    def test_a_hostile_line_ends(self):
        assert len(named_in_text("123456789012.dkr.ecr." * 20_000, name="f")) == 0

    def test_a_folder(self, tmp_path):
        (tmp_path / "apps").mkdir()
        (tmp_path / ".git").mkdir()
        (tmp_path / "apps/deploy.yaml").write_text(f"image: {HOST}/team/app:v1\n")
        (tmp_path / "Dockerfile").write_text(f"FROM {HOST}/base:1\n")
        (tmp_path / ".git/x.yaml").write_text(f"image: {HOST}/git:v1\n")
        (tmp_path / "notes.txt").write_text(f"{HOST}/notes:v1\n")
        (tmp_path / "bad.yaml").write_bytes(b"\xff")
        (tmp_path / "large.json").write_bytes(b" " * (4 * 1024 * 1024 + 1))
        (tmp_path / "link.yaml").symlink_to("/etc/hostname")
        found = named_in_folder(tmp_path)
        assert found.repositories == ("base", "team/app")
        assert {u.workload.name for u in found} == {"Dockerfile:1", "apps/deploy.yaml:1"}
        assert [g.where for g in found.gaps] == ["bad.yaml", "large.json"]

    def test_no_folder(self, tmp_path):
        with pytest.raises(InvalidInput, match="is no folder"):
            named_in_folder(tmp_path / "nowhere")


def stored(name, *built):
    details = [
        {"imageDigest": b.digest, "imageTags": [tag] if tag else [], "imagePushedAt": 0,
         "imageManifestMediaType": b.media_type, "repositoryName": name}
        for tag, b in built
    ]  # fmt: skip
    manifests = [RawManifest(digest=b.digest, media_type=b.media_type, text=b.manifest) for _, b in built]
    return Inventory.from_api(details, manifests=manifests)


class TestBases:
    LOW, MIDDLE = filler(9_000, seed="low"), filler(7_000, seed="middle")

    def report(self):
        self.os = image([self.LOW])
        self.runtime = image([self.LOW, self.MIDDLE])
        self.app = image([self.LOW, self.MIDDLE, filler(5_000)])
        self.multi = index([self.app])
        return base_images([
            stored("base/os", ("1", self.os)), stored("base/runtime", ("2", self.runtime)),
            stored("team/app", ("v1", self.multi), (None, self.app)),
        ])  # fmt: skip

    @pytest.mark.parametrize("how", ["tag", "index", "platform"])
    def test_the_whole_chain_below_a_running_image(self, how):
        report = self.report()
        api = Workload(platform="kubernetes", kind="Deployment", name="api")
        digest = {"tag": None, "index": self.multi.digest, "platform": self.app.digest}[how]
        found = rested_on(InUse([Use(reference=f"{HOST}/team/app:v1", digest=digest, workload=api)]), report, HOST)
        assert found.repositories == ("base/os", "base/runtime")
        assert {u.digest for u in found} == {self.os.digest, self.runtime.digest}
        assert "Deployment api" in str(found.uses[0].workload)

    def test_other_registries_and_unknown_images_rest_on_nothing(self):
        report = self.report()
        api = Workload(platform="kubernetes", kind="Deployment", name="api")
        other = str(HOST).replace("us-east-1", "eu-west-1")
        uses = InUse([Use(reference=r, workload=api) for r in (f"{other}/team/app:v1", f"{HOST}/x:1", "nginx")])
        assert len(rested_on(uses, report, HOST)) == 0
