"""The tour tells the truth and runs anywhere; the dry run on files takes what the AWS CLI writes and refuses the rest."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ecrkit.demo import files, tour, world
from ecrkit.demo.__main__ import main
from ecrkit.demo.telling import Teller
from ecrkit.demo.tour import _Checked, _verdict
from ecrkit.local import Engine, Timings

NOW = "2026-04-01T00:00:00Z"
INDEX = "application/vnd.oci.image.index.v1+json"
KEEP_ONE = {
    "rules": [
        {
            "rulePriority": 1,
            "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 1},
            "action": {"type": "expire"},
        }
    ]
}


def digest(number: int) -> str:
    return f"sha256:{number:064x}"


def detail(number: int, **more: Any) -> dict[str, Any]:
    return {
        "registryId": "123456789012",
        "repositoryName": "team/app",
        "imageDigest": digest(number),
        "imageTags": [f"v{number}"],
        "imageSizeInBytes": 1000 * number,
        "imagePushedAt": f"2026-01-{number:02}T09:00:00+01:00",
        **more,
    }


def python(*words: str, **environment: str) -> subprocess.Popen[bytes]:
    settings = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "PYTHON"))}
    return subprocess.Popen(
        [sys.executable, "-m", "ecrkit.demo", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**settings, **environment},
    )


def finish(process: subprocess.Popen[bytes]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=240)
    return process.returncode, out.decode(), err.decode()


@pytest.fixture(scope="module")
def told() -> list[tuple[int, str, str]]:
    runs = [
        python(PYTHONHASHSEED="1", PYTHONIOENCODING="ascii:strict"),
        python(PYTHONHASHSEED="2", PYTHONUTF8="1", TZ="Asia/Kathmandu"),
    ]
    return [finish(run) for run in runs]


class TestTour:
    """`python -m ecrkit.demo` needs no account, tells the same each time, and fails when the registry disagrees."""

    def test_it_ends_well_and_always_the_same(self, told: list[tuple[int, str, str]]) -> None:
        assert told[0][0] == 0, told[0][2]
        assert told[0][2] == ""
        assert told[0] == told[1]

    def test_its_story(self, told: list[tuple[int, str, str]]) -> None:
        text = told[0][1]
        assert [int(n) for n in re.findall(r"^(\d+)\. ", text, re.MULTILINE)] == [1, 2, 3, 4, 5, 6, 7]
        assert len(re.findall(r"^  (?:shop|data|platform)/\S+ .* yes$", text, re.MULTILINE)) == 12
        assert "ECR reads the list [prod-, v1., v2.] as and" in text
        assert re.search(
            r"^  all +\d+ +1 +\d{4} ", text, re.MULTILINE
        )  # the copied policy expires one image, the other thousands
        assert re.search(r"PlanRefused, 3 conflicts:\n\n  ! shop/checkout:prod-20260113: ", text)
        assert re.search(r"deleted (\S+) images, and they are the \1 that the dry run named", text)

    def test_its_lines_fit(self, told: list[tuple[int, str, str]]) -> None:
        assert max(map(len, told[0][1].splitlines())) <= 100

    @pytest.mark.parametrize(
        "difference",
        [
            {"gone": frozenset({digest(1)})},
            {"gone": frozenset({digest(1), digest(2), digest(3)})},
            {"wrong_rule": (digest(1),)},
            {"freed": 9},
            {"freed_said": None},
        ],
    )
    def test_any_difference_is_a_failure(self, difference: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
        both = frozenset({digest(1), digest(2)})
        facts = {"repository": "app", "said": both, "gone": both, "wrong_rule": (), "freed_said": 10, "freed": 10}
        agreeing = _Checked(**facts)  # type: ignore[arg-type]
        assert _verdict(Teller(sys.stdout), [agreeing]) == 0
        assert _verdict(Teller(sys.stdout), [agreeing, _Checked(**facts | difference)]) == 1  # type: ignore[arg-type]
        assert "app differs" in capsys.readouterr().out

    def test_a_registry_that_does_something_else_fails_the_tour(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        alone = tuple(repo for repo in world.REPOSITORIES if repo.name == world.MAIN)
        monkeypatch.setattr(world, "REPOSITORIES", alone)
        monkeypatch.setattr(tour, "REPOSITORIES", alone)
        slow = Timings(referrer_sweep=dt.timedelta(days=3))  # referrers of deleted images are still there after a day

        def build() -> tuple[Engine, int]:
            engine, pushes = world.build()
            engine.timings = slow
            return engine, pushes

        monkeypatch.setattr(tour, "build", build)
        assert main([]) == 1
        out = capsys.readouterr().out
        assert f"{world.MAIN} differs:" in out
        assert out.count("said to go and still there: sha256:") == 16


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    def write(name: str, *documents: object, coding: str = "utf-8") -> str:
        texts = [one if isinstance(one, str) else json.dumps(one, indent=4) for one in documents]
        (tmp_path / name).write_bytes("\n".join(texts).encode(coding))
        return str(tmp_path / name)

    return write


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def run(*words: str) -> str:
        assert main([*words, "--now", NOW]) == 0
        told = capsys.readouterr()
        assert told.err == ""
        return told.out

    return run


@pytest.fixture
def refuse(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def refuse(*words: str) -> str:
        assert main([*words, "--now", NOW]) == 2
        told = capsys.readouterr()
        assert told.out == ""
        return told.err

    return refuse


class TestOwnFiles:
    """`--images` and `--policy` take what `aws ecr describe-images` and `get-lifecycle-policy` write."""

    def test_one_page(self, write: Any, run: Any) -> None:
        out = run("--images", write("i", {"imageDetails": [detail(1), detail(2)]}), "--policy", write("p", KEEP_ONE))
        assert "Of 2 images 1 would be expired, 1 kept." in out
        assert "number 2 of 2 from the newest, where 1 stay" in out
        assert f"as of {NOW}" in out
        assert "Freed: 0 B to 1000 B, because a manifest was not read" in out

    @pytest.mark.parametrize(
        "documents",
        [
            ({"imageDetails": [detail(1)], "NextToken": "x"}, {"imageDetails": [detail(2)]}),
            ([detail(1), detail(2)],),
            (detail(1), detail(2)),
            ({"imageDetails": [detail(1), detail(2)]}, {"imageDetails": []}),
        ],
        ids=["pages", "bare list", "bare items", "empty page"],
    )
    @pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "utf-16"])
    def test_pages_in_one_file(self, write: Any, run: Any, documents: Any, coding: str) -> None:
        policy = write("p", KEEP_ONE, coding="utf-8-sig")
        out = run("--images", write("i", *documents, coding=coding), "--policy", policy)
        assert "Of 2 images 1 would be expired, 1 kept." in out
        assert "NextToken" not in out

    def test_pages_joined_with_their_marks(self, write: Any, run: Any) -> None:
        pages = ["\ufeff" + json.dumps({"imageDetails": [detail(n)]}) for n in (1, 2)]
        assert "Of 2 images" in run("--images", write("i", *pages), "--policy", write("p", KEEP_ONE))

    def test_several_files_and_repositories(self, write: Any, run: Any) -> None:
        one, two = write("1", {"imageDetails": [detail(1)]}), write("2", {"imageDetails": [detail(2), detail(1)]})
        other = write("3", [detail(1, repositoryName="team/other")])
        out = run("--images", one, two, "--images", other, "--policy", write("p", KEEP_ONE))
        assert re.findall(r"^\d\. (team/\w+)$", out, re.MULTILINE) == ["team/app", "team/other"]
        assert "images that stand in the files more than once: 1; each counts once" in out
        assert "Of 2 images 1 would be expired" in out
        assert "Of 1 image 0 would be expired" in out

    def test_images_of_the_future_are_said(self, write: Any, run: Any) -> None:
        late = detail(2, imagePushedAt="2026-05-01T00:00:00Z")
        out = run("--images", write("i", [detail(1), late]), "--policy", write("p", KEEP_ONE))
        assert "images pushed after the moment of this dry run: 1; name a later one with --now" in " ".join(out.split())

    def test_more_pages_were_not_saved(self, write: Any, run: Any) -> None:
        cut = write("i", {"imageDetails": [detail(1)], "NextToken": "x"})
        out = run("--images", cut, "--policy", write("p", KEEP_ONE))
        # The path of the file decides where the line breaks.
        assert "ends with a NextToken" in " ".join(out.split())

    @pytest.mark.parametrize(
        "policy",
        [
            {"repositoryName": "team/app", "lifecyclePolicyText": json.dumps(KEEP_ONE), "lastEvaluatedAt": NOW},
            json.dumps(json.dumps(KEEP_ONE)),
            "\n\n" + json.dumps(KEEP_ONE) + "\n",
        ],
        ids=["get-lifecycle-policy", "quoted", "text"],
    )
    def test_forms_of_the_policy(self, write: Any, run: Any, policy: Any) -> None:
        out = run("--images", write("i", [detail(1), detail(2)]), "--policy", write("p", policy))
        assert "rule 1: expire all images beyond the newest 1" in out

    def test_unknown_children_are_said_and_manifests_tell_them(self, write: Any, run: Any) -> None:
        index = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": INDEX,
                "manifests": [
                    {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest(1), "size": 7}
                ],
            }
        )
        name = "sha256:" + hashlib.sha256(index.encode()).hexdigest()
        listed = [detail(1, imageTags=[]), detail(2, imageDigest=name, imageManifestMediaType=INDEX)]
        images, policy = write("i", listed), write("p", KEEP_ONE)
        out = run("--images", images, "--policy", policy)
        assert "not certain: 1 index has unknown children." in out
        assert "Of 2 images 1 would be expired" in out
        item = {"imageId": {"imageDigest": name}, "imageManifest": index, "imageManifestMediaType": INDEX}
        out = run("--images", images, "--policy", policy, "--manifests", write("m", {"images": [item], "failures": []}))
        assert "not certain" not in out
        assert "Of 2 images 0 would be expired, 2 kept, 1 of them because an index holds them." in out

    def test_archive_policies_need_archived_images(self, write: Any, run: Any) -> None:
        rule = {
            "rulePriority": 1,
            "selection": {
                "tagStatus": "any", "countType": "sinceImagePulled", "countUnit": "days", "countNumber": 90,
            },
            "action": {"type": "transition", "targetStorageClass": "archive"},
        }  # fmt: skip
        policy = write("p", {"rules": [rule]})
        assert "--filter imageStatus=ANY" in run("--images", write("i", [detail(1)]), "--policy", policy)
        archived = detail(2, imageStatus="ARCHIVED", lastArchivedAt=NOW)
        assert "imageStatus=ANY" not in run("--images", write("i", [detail(1), archived]), "--policy", policy)

    def test_no_image(self, write: Any, run: Any) -> None:
        out = run("--images", write("i", {"imageDetails": []}), "--policy", write("p", KEEP_ONE))
        assert "hold no image" in out

    def test_long_lists_are_cut(self, write: Any, run: Any) -> None:
        many = [detail(n, imagePushedAt=1767225600 + n) for n in range(1, 101)]
        out = run("--images", write("i", many), "--policy", write("p", KEEP_ONE))
        assert "and 87 more" in out
        assert len(out.splitlines()) < 60

    def test_what_steers_a_terminal_is_shown_and_not_sent(self, write: Any) -> None:
        tags = ["\x1b[2Jgone\n\r", "\u202eevil", "größe-名"]
        images, policy = write("i", [detail(1, imageTags=tags), detail(2)]), write("p", KEEP_ONE)
        words = ("--images", images, "--policy", policy, "--now", NOW)
        for coding, shown in (("ascii", r"gr\xf6\xdfe-\u540d"), ("utf-8", "größe-名")):
            process = python(*words, PYTHONIOENCODING=f"{coding}:strict")
            code, out, err = finish(process)
            assert (code, err) == (0, "")
            assert r"\x1b[2Jgone\n\r" in out
            assert shown in out
            assert "\x1b" not in out
            assert "\u202e" not in out

    def test_a_reader_who_leaves_early_is_no_fault(self, write: Any) -> None:
        process = python("--images", write("i", [detail(1)]), "--policy", write("p", KEEP_ONE))
        assert process.stdout is not None
        process.stdout.close()
        process.stdout = None
        _, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (1, b"")

    def test_no_account_is_needed(self, write: Any) -> None:
        code = (
            "import sys; from ecrkit.demo.__main__ import main; main(sys.argv[1:]); "
            "print([m for m in ('boto3', 'botocore', 'ecrkit.aws') if m in sys.modules])"
        )
        words = ["--images", write("i", [detail(1)]), "--policy", write("p", KEEP_ONE)]
        out = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True).stdout
        assert out.endswith("[]\n")


class TestBadFiles:
    """A bad file gives an error on stderr that names file and JSON path, exit code 2, and no traceback."""

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            ("", "i: is empty"),
            (" \n", "i: is empty"),
            ("{", "i: is not JSON: line 1, column 2: "),
            ('{"imageDetails": [}', "i: is not JSON: line 1, column 19"),
            ("[1, NaN]", "i: is not JSON: NaN is no JSON value"),
            ("[" * 200_000, "i: is not JSON of the AWS CLI: it nests too deep"),
            ("1" * 5000, "i: is not JSON: "),
            ("null", "i: $: must be an object with imageDetails, not null"),
            ('"text"', "i: $: must be an object with imageDetails, not a text"),
            ("17", "i: $: must be an object with imageDetails, not a number"),
            ("{}", "i: $.imageDetails: is missing; the object holds nothing"),
            ({"imageIds": []}, "i: $.imageDetails: is missing; the object holds imageIds"),
            ({"imageDetails": {}}, "i: $.imageDetails: must be a list, not an object"),
            ({"imageDetails": ["x"]}, "i: $.imageDetails[0]: must be an object"),
            ({"imageDetails": [detail(1), {"imageDigest": digest(2)}]}, "i: $.imageDetails[1].imagePushedAt: "),
            ([detail(1, imageDigest="sha256:x")], "i: $[0].imageDigest: "),
            (detail(1, imageSizeInBytes=-1), "i: $.imageSizeInBytes: "),
            ([detail(1), detail(1, imageTags=["other"])], "i: $[1]: sha256:000000000000 stands also at "),
        ],
    )
    def test_images(self, write: Any, refuse: Any, content: Any, said: str) -> None:
        path = write("i", content)
        err = refuse("--images", path, "--policy", write("p", KEEP_ONE))
        assert err.startswith("error: not the images of a repository\n")
        assert said in err.replace(path, "i")
        assert "Traceback" not in err

    def test_the_page_is_named(self, write: Any, refuse: Any) -> None:
        path = write("i", {"imageDetails": [detail(1)]}, {"imageDetails": [{}]}, {"imageDetail": []})
        err = refuse("--images", path, "--policy", write("p", KEEP_ONE))
        assert f"{path}: page 2: $.imageDetails[0].imageDigest: " in err
        assert f"{path}: page 3: $.imageDetails: is missing" in err

    def test_many_faults_are_counted(self, write: Any, refuse: Any) -> None:
        err = refuse("--images", write("i", [{"imageDigest": 1}] * 200), "--policy", write("p", KEEP_ONE))
        assert len(err.splitlines()) == 22
        assert re.search(r"and \d+ more$", err)

    @pytest.mark.parametrize("option", ["--images", "--policy", "--manifests"])
    @pytest.mark.parametrize(
        ("path", "said"),
        [
            ("nowhere.json", "nowhere.json: does not exist"),
            (".", ".: is a folder; name the file"),
            ("", ": does not exist"),
            ("nul\0.json", "cannot be read"),
            ("binary", "is no text: byte 1 is not UTF-8"),
            ("long", "is larger than 0 MiB"),
        ],
    )
    def test_no_file(
        self, write: Any, refuse: Any, option: str, path: str, said: str, monkeypatch: Any, tmp_path: Path
    ) -> None:
        good = {"--images": write("i", [detail(1)]), "--policy": write("p", KEEP_ONE)}
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(files, "_MAX_IMAGES", 10_000)
        monkeypatch.setattr(files, "_MAX_POLICY", 10_000)
        (tmp_path / "binary").write_bytes(b"\x7f\xfeELF")
        (tmp_path / "long").write_text(" " * 10_001)
        words = [word for pair in {**good, option: path}.items() for word in pair]
        assert said in refuse(*words)

    @pytest.mark.parametrize(
        ("policy", "said"),
        [
            ("{", "p: $: is not JSON: line 1, column 2"),
            ({"rules": []}, "p: $"),
            (
                {"rules": [{**KEEP_ONE["rules"][0], "rulePriority": 0}]},
                "p: $.rules[0].rulePriority: ",
            ),
            (
                {"lifecyclePolicyText": json.dumps({"rules": [{**KEEP_ONE["rules"][0], "action": {"type": "purge"}}]})},
                "p: $.lifecyclePolicyText: $.rules[0].action.type: ",
            ),
            ({"lifecyclePolicyText": 1}, "p: $"),
            ("[" * 5000, "p: $: "),
        ],
    )
    def test_policy(self, write: Any, refuse: Any, policy: Any, said: str) -> None:
        path = write("p", policy)
        err = refuse("--images", write("i", [detail(1)]), "--policy", path)
        assert err.startswith("error: not a lifecycle policy\n")
        assert said in err.replace(path, "p")

    @pytest.mark.parametrize(
        ("manifests", "said"),
        [
            ({"failures": []}, "m: $.images: is missing"),
            ({"images": [1]}, "m: $.images[0].imageId.imageDigest: must be a text"),
            ({"images": [{"imageId": {"imageDigest": digest(1)}}]}, "m: $.images[0].imageManifest: must be a text"),
        ],
    )
    def test_manifests(self, write: Any, refuse: Any, manifests: Any, said: str) -> None:
        path = write("m", manifests)
        err = refuse("--images", write("i", [detail(1)]), "--policy", write("p", KEEP_ONE), "--manifests", path)
        assert said in err.replace(path, "m")

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["--images", "x"], "needs both --images and --policy"),
            (["--policy", "x"], "needs both --images and --policy"),
            (["--now", NOW], "needs both --images and --policy"),
            (["--images", "x", "--policy", "y", "--now", "yesterday"], "not an ISO 8601 time: 'yesterday'"),
            (["--images", "x", "--policy", "y", "--now", "2026-01-01T00:00:00"], "time without zone"),
            (["--image-file"], "unrecognized arguments"),
        ],
    )
    def test_options(self, words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == 2
        assert said in capsys.readouterr().err

    def test_from_a_shell(self, write: Any) -> None:
        code, out, err = finish(python("--images", write("i", "{}"), "--policy", write("p", KEEP_ONE)))
        assert (code, out) == (2, "")
        assert "$.imageDetails: is missing" in err
        assert "Traceback" not in err
