"""`python -m ecrkit.lifecycle`: exit codes, all problems at once, nothing that hides an unknown."""

from __future__ import annotations

import json

import pytest

from ecrkit.lifecycle import build, expire_untagged, keep_last
from ecrkit.lifecycle.__main__ import main

INDEX = "application/vnd.oci.image.index.v1+json"


def digest(n):
    return "sha256:" + f"{n:064x}"


@pytest.fixture
def files(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)

    details = [
        {"imageDigest": digest(n), "imageTags": [f"v{n}"], "imagePushedAt": 1767225600 + n, "repositoryName": "app"}
        for n in range(5)
    ]
    write("policy.json", build(keep_last(3, prefixes="v")).to_json())
    write("one.json", {"imageDetails": details[:2]})
    write("two.json", details[2:])
    return write, tmp_path


def run(files, expectations, *more, images=("one.json", "two.json"), policy="policy.json"):
    write, folder = files
    wanted = write("expect.json", expectations)
    return main(
        [
            str(folder / policy),
            wanted,
            "--images",
            *(str(folder / i) for i in images),
            "--now",
            "2026-02-01T00:00:00Z",
            *more,
        ]
    )


def test_it_passes(files, capsys):
    assert run(files, [{"keeps": "v*", "at_least": 3}, {"expires": "v0", "older_than": 7}]) == 0
    assert capsys.readouterr().out.splitlines() == [
        'passed keeps "v*" at_least 3: 3 images stay',
        'passed expires "v0" older_than 7: 1 image goes',
    ]


def test_it_fails(files, capsys):
    assert run(files, [{"keeps": "v*"}, {"keeps": "w*"}]) == 1
    assert capsys.readouterr().out.startswith('FAILED keeps "v*": 2 of 5 go')


def test_nothing_to_look_at_is_no_pass(files):
    assert run(files, [{"keeps": "w*"}]) == 3


def test_an_unread_index_is_unknown_until_its_manifest_is_there(files, capsys):
    write, _ = files
    child = {
        "imageDigest": digest(50),
        "imagePushedAt": 1767225600,
        "imageManifestMediaType": "application/vnd.oci.image.manifest.v1+json",
    }
    text = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": INDEX,
            "manifests": [{"digest": digest(50), "mediaType": child["imageManifestMediaType"], "size": 3}],
        }
    )
    import hashlib

    index = "sha256:" + hashlib.sha256(text.encode()).hexdigest()
    write(
        "three.json",
        [
            child,
            {
                "imageDigest": index,
                "imageTags": ["multi"],
                "imagePushedAt": 1767225601,
                "imageManifestMediaType": INDEX,
            },
        ],
    )
    write("untagged.json", build(expire_untagged(after_days=7)).to_json())
    never = [{"never_expires": [digest(50)]}]
    assert run(files, never, images=["three.json"], policy="untagged.json") == 3
    manifests = write(
        "manifests.json",
        {"images": [{"imageId": {"imageDigest": index}, "imageManifest": text, "imageManifestMediaType": INDEX}]},
    )
    assert run(files, never, "--manifests", manifests, images=["three.json"], policy="untagged.json") == 0
    assert "UNKNOWN" in capsys.readouterr().out


def test_json(files, capsys):
    assert run(files, [{"keeps": "v4"}], "--json") == 0
    assert json.loads(capsys.readouterr().out)["results"][0]["verdict"] == "passed"


@pytest.mark.parametrize(
    ("expectations", "more", "told"),
    [
        ([{"keeps": 3}], {}, "$[0].keeps"),
        ({"keeps": "v"}, {}, "must be a list of expectations"),
        ("{", {}, "expect.json"),
        ([], {"images": ["nowhere.json"]}, "nowhere.json"),
        ([], {"images": ["policy.json"]}, "'imageDetails'"),
        ([], {"policy": "one.json"}, "lifecycle policy"),
    ],
)
def test_bad_input(files, capsys, expectations, more, told):
    assert run(files, expectations, **more) == 2
    assert told in capsys.readouterr().err


def test_manifests_that_are_none(files, capsys):
    write, _ = files
    assert run(files, [], "--manifests", write("m.json", {"images": [{}]})) == 2
    assert "$.images[0]" in capsys.readouterr().err


def test_a_time_that_is_none(files, capsys):
    write, folder = files
    assert (
        main([str(folder / "policy.json"), write("e.json", []), "--images", str(folder / "one.json"), "--now", "noon"])
        == 2
    )


def test_the_text_of_the_policy_counts(files, capsys):
    """A key twice in an object is gone once it is parsed, and the length is that of the text."""
    write, _ = files
    text = build(keep_last(3, prefixes="v")).to_json()
    write("twice.json", text.replace('"countNumber":3', '"countNumber":1,"countNumber":3'))
    write("long.json", text + " " * 31_000)
    for name, told in (("twice.json", "'countNumber' stands twice"), ("long.json", "ECR takes 100 to 30720")):
        assert run(files, [{"keeps": "v*"}], policy=name) == 2
        assert told in capsys.readouterr().err


def test_pages_that_are_missing_are_no_pass(files, capsys):
    write, folder = files
    page = {**json.loads((folder / "one.json").read_text()), "nextToken": "more"}
    write("cut.json", page)
    assert run(files, [{"keeps": "v*"}], images=("cut.json",)) == 2
    assert "more pages follow" in capsys.readouterr().err
    assert run(files, [{"keeps": "v4"}], images=("cut.json", "two.json")) == 0
