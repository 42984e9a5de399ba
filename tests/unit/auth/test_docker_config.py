"""Docker's configuration: entries, helpers, merging, and the file on disk."""

from __future__ import annotations

import base64
import json
import os
import stat

import pytest

from ecrkit.auth import (
    config_file,
    cred_helpers,
    docker_config,
    host_forms,
    merge_docker_config,
    update_docker_config,
)
from ecrkit.auth.hosts import FIPS_REGIONS
from ecrkit.errors import Conflict, InvalidInput
from tests.support.tokens import NOW, PASSWORD, make_token

HOST = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
DUAL = "123456789012.dkr-ecr.eu-west-1.on.aws"
AUTH = base64.b64encode(f"AWS:{PASSWORD}".encode()).decode()


def names(folder):
    return [path.name for path in folder.iterdir()]


class TestHostForms:
    """Registry hosts of a Region: standard, FIPS, dual-stack (General Reference, ECR endpoints)."""

    def test_all_four(self):
        assert [str(h) for h in host_forms("123456789012.dkr.ecr.us-east-1.amazonaws.com")] == [
            "123456789012.dkr.ecr.us-east-1.amazonaws.com",
            "123456789012.dkr.ecr-fips.us-east-1.amazonaws.com",
            "123456789012.dkr-ecr.us-east-1.on.aws",
            "123456789012.dkr-ecr-fips.us-east-1.on.aws",
        ]

    def test_china_has_no_fips_and_iso_no_dual_stack(self):
        china = host_forms("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn")
        assert [str(h) for h in china][1:] == ["123456789012.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn"]
        assert len(host_forms("123456789012.dkr.ecr.us-iso-east-1.c2s.ic.gov")) == 1

    def test_a_form_that_was_asked_for_stays(self):
        asked = "123456789012.dkr.ecr-fips.ca-central-1.amazonaws.com"
        assert asked in [str(h) for h in host_forms(asked)]

    def test_fips_regions_are_those_of_the_endpoint_data(self):
        import botocore.session

        data = botocore.session.Session().get_component("data_loader").load_data("endpoints")
        listed = {
            name.removeprefix("fips-dkr-")
            for partition in data["partitions"]
            for name in partition["services"].get("api.ecr", {}).get("endpoints", {})
            if name.startswith("fips-dkr-")
        }
        assert listed == FIPS_REGIONS


class TestEntries:
    """Docker looks credentials up by exact host, so each form has its entry (amazon-ecs-agent#5106)."""

    def test_the_key_is_the_bare_host_as_asked(self):
        made = docker_config([f"{HOST}/team/app:v1", DUAL], make_token())
        assert made.document == {"auths": {HOST: {"auth": AUTH}, DUAL: {"auth": AUTH}}}

    def test_all_forms(self):
        made = docker_config([HOST], make_token(), all_forms=True)
        assert list(made.document["auths"]) == [HOST, DUAL]

    def test_each_host_gets_the_token_of_its_region_and_kind(self):
        virginia = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
        tokens = [make_token(), make_token("us-east-1", password="v"), make_token(None, password="p")]
        auths = docker_config([HOST, virginia, "ecr-public.aws.com"], tokens).document["auths"]
        passwords = [base64.b64decode(e["auth"]).decode() for e in auths.values()]
        assert passwords == [f"AWS:{PASSWORD}", "AWS:v", "AWS:p"]

    def test_the_longest_living_token_is_taken(self):
        tokens = [make_token(password="old", hours=1), make_token(password="new"), make_token(password="mid", hours=5)]
        entry = docker_config([HOST], tokens).document["auths"][HOST]
        assert base64.b64decode(entry["auth"]) == b"AWS:new"

    @pytest.mark.parametrize("host", ["public.ecr.aws", "123456789012.dkr.ecr.us-east-1.amazonaws.com"])
    def test_a_token_of_another_scope_is_refused(self, host):
        with pytest.raises(InvalidInput, match="needs a token for"):
            docker_config([host], make_token())

    @pytest.mark.parametrize("hosts", [[], HOST, ["docker.io"], ["evil.example"], [f"https://{HOST}"]])
    def test_hosts_that_are_none(self, hosts):
        with pytest.raises(InvalidInput):
            docker_config(hosts, make_token(endpoint="https://other.example"))

    def test_the_endpoint_the_service_named_is_taken(self):
        token = make_token(endpoint="http://127.0.0.1:4510")
        assert list(docker_config(["127.0.0.1:4510/team/app"], token).document["auths"]) == ["127.0.0.1:4510"]

    def test_advice(self):
        made = docker_config([HOST, "public.ecr.aws"], [make_token(), make_token(None, hours=2)])
        assert made.advice.stops_at == NOW.replace(hour=2) and made.advice.refresh_at == NOW.replace(hour=1)
        assert "cred_helpers" in made.advice.instead

    def test_the_document_is_a_copy(self):
        made = docker_config([HOST], make_token())
        made.document["auths"].clear()
        assert made.document["auths"] and json.loads(made.to_json()) == made.to_dict()


class TestHelpers:
    """credHelpers name the program that asks for tokens; the kubelet ignores them (kubernetes#59406)."""

    def test_they_hold_no_secret(self):
        made = cred_helpers([HOST], all_forms=True)
        assert made.document == {"credHelpers": {HOST: "ecr-login", DUAL: "ecr-login"}}
        assert not made.secret and "kubelet ignores" in made.advice.instead
        assert "dual-stack" in made.advice.warnings[0]

    @pytest.mark.parametrize("helper", ["", "a/b", "docker-credential-ecr-login"])
    def test_the_name_of_a_helper(self, helper):
        with pytest.raises(InvalidInput):
            cred_helpers([HOST], helper=helper)


class TestMerge:
    """What was in the file stays; a twin with a scheme goes (aws-cli#2351)."""

    def test_everything_else_stays(self):
        existing = {"auths": {"docker.io": {"auth": "x"}, HOST: {"auth": "old"}}, "psFormat": "p", "credHelpers": None}
        merge = merge_docker_config(existing, docker_config([HOST, DUAL], make_token()))
        assert merge.config["psFormat"] == "p" and merge.config["auths"]["docker.io"] == {"auth": "x"}
        assert merge.config["auths"][HOST] == {"auth": AUTH}
        assert (merge.report.added, merge.report.replaced, merge.report.dropped) == ((DUAL,), (HOST,), ())
        assert existing["auths"][HOST] == {"auth": "old"}

    @pytest.mark.parametrize("twin", [f"https://{HOST}", f"http://{HOST}", f"https://{HOST}/", f"https://{HOST}/v2/"])
    def test_the_stale_twin_is_dropped(self, twin):
        existing = {"auths": {twin: {"auth": "old"}, "https://index.docker.io/v1/": {"auth": "x"}}}
        merge = merge_docker_config(existing, docker_config([HOST], make_token()))
        assert set(merge.config["auths"]) == {HOST, "https://index.docker.io/v1/"}
        assert merge.report.dropped == (twin,)

    def test_entries_of_single_repositories_stay(self):
        existing = {"auths": {f"{HOST}/team": {"auth": "x"}}}
        assert merge_docker_config(existing, docker_config([HOST], make_token())).report.dropped == ()

    def test_an_equal_entry_is_no_change(self):
        made = docker_config([HOST], make_token())
        report = merge_docker_config(made.document, made).report
        assert report.added == report.replaced == ()

    def test_a_helper_or_store_that_comes_first_is_told(self):
        made = docker_config([HOST, DUAL], make_token())
        report = merge_docker_config({"credHelpers": {HOST: "ecr-login"}}, made).report
        assert report.ignored == (HOST,) and "docker-credential-ecr-login" in report.warnings[0]
        report = merge_docker_config({"credsStore": "desktop"}, made).report
        assert report.ignored == (HOST, DUAL) and "desktop" in report.warnings[0]

    def test_a_static_entry_beside_a_new_helper_is_told(self):
        merge = merge_docker_config({"auths": {HOST: {"auth": "x"}}}, cred_helpers([HOST]))
        assert merge.config["auths"] == {HOST: {"auth": "x"}} and HOST in merge.report.warnings[0]

    @pytest.mark.parametrize(
        "existing", [{"auths": []}, {"auths": {HOST: "x"}}, {"credHelpers": {HOST: {}}}, {"credHelpers": "ecr-login"}]
    )
    def test_what_is_no_configuration(self, existing):
        with pytest.raises(InvalidInput, match="not a Docker configuration"):
            merge_docker_config(existing, cred_helpers([HOST]))


class TestFile:
    """The file is replaced in one step, mode 0600, and nothing that was in it is lost."""

    @pytest.fixture
    def path(self, tmp_path):
        return tmp_path / "docker" / "config.json"

    @pytest.fixture
    def made(self):
        return docker_config([HOST], make_token())

    def test_a_new_file_in_a_new_folder(self, path, made):
        report = update_docker_config(path, made)
        assert report.added == (HOST,)
        assert json.loads(path.read_text()) == made.document
        assert stat.S_IMODE(path.stat().st_mode) == 0o600 and stat.S_IMODE(path.parent.stat().st_mode) == 0o700

    def test_an_open_mode_is_closed(self, path, made):
        path.parent.mkdir()
        path.write_text('{"psFormat": "é"}')
        path.chmod(0o644)
        update_docker_config(path, made)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert json.loads(path.read_text())["psFormat"] == "é"

    @pytest.mark.parametrize("empty", ["", " \n"])
    def test_an_empty_file_is_an_empty_configuration(self, path, made, empty):
        path.parent.mkdir()
        path.write_text(empty)
        assert update_docker_config(path, made).added == (HOST,)

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"{", "is not JSON"),
            (b"[]", "must be a JSON object"),
            (b'{"a": 1, "a": 2}', "has the member 'a' twice"),
            (b'{"a": NaN}', "holds NaN"),
            (b'{"a": "\xff"}', "is not UTF-8"),
            (b"\xef\xbb\xbf{}", "is not JSON"),
            (b'{"auths": 1}', "must be an object"),
            (b"[" * 200_000, "is n"),
        ],
    )
    def test_a_broken_file_is_left_as_it_is(self, path, made, content, said):
        path.parent.mkdir()
        path.write_bytes(content)
        with pytest.raises(InvalidInput, match=said) as refused:
            update_docker_config(path, made)
        assert path.read_bytes() == content and names(path.parent) == ["config.json"]
        assert str(path) in str(refused.value)

    def test_a_symbolic_link_stays_one(self, tmp_path, made):
        real, link = tmp_path / "real" / "config.json", tmp_path / "config.json"
        real.parent.mkdir()
        real.write_text('{"a": 1}')
        link.symlink_to("real/config.json")
        update_docker_config(link, made)
        assert link.is_symlink() and json.loads(real.read_text())["a"] == 1 and HOST in real.read_text()
        assert names(real.parent) == ["config.json"]

    def test_a_dangling_link_and_a_loop(self, tmp_path, made):
        link, loop = tmp_path / "link", tmp_path / "loop"
        link.symlink_to("new/config.json")
        update_docker_config(link, made)
        assert (tmp_path / "new" / "config.json").is_file()
        loop.symlink_to("loop")
        with pytest.raises((InvalidInput, OSError)):
            update_docker_config(loop, made)
        assert loop.is_symlink()

    def test_what_is_no_file(self, tmp_path, made):
        os.mkfifo(tmp_path / "pipe")
        for target in (tmp_path, tmp_path / "pipe", "/dev/null"):
            with pytest.raises(InvalidInput, match="no regular file"):
                update_docker_config(target, made)

    def test_a_failure_leaves_the_old_file_and_nothing_else(self, path, made, monkeypatch):
        path.parent.mkdir()
        path.write_text('{"a": 1}')

        def fail(self, target):
            raise OSError("no rename today")

        monkeypatch.setattr("pathlib.Path.replace", fail)
        with pytest.raises(OSError, match="no rename"):
            update_docker_config(path, made)
        assert path.read_text() == '{"a": 1}' and names(path.parent) == ["config.json"]

    def test_it_is_on_disk_before_it_takes_the_place(self, path, made, monkeypatch):
        order = []
        fsync, replace = os.fsync, type(path).replace
        monkeypatch.setattr("os.fsync", lambda handle: (order.append("fsync"), fsync(handle))[1])
        monkeypatch.setattr("pathlib.Path.replace", lambda a, b: (order.append("replace"), replace(a, b))[1])
        update_docker_config(path, made)
        assert order == ["fsync", "replace", "fsync"]

    def test_a_change_by_another_program_is_kept(self, path, made, monkeypatch):
        path.parent.mkdir()
        path.write_text('{"a": 1}')
        content = config_file._content
        seen = []

        def meddle(target):
            seen.append(target)
            if len(seen) == 2:
                path.write_text('{"a": 1, "late": 2}')
            return content(target)

        monkeypatch.setattr(config_file, "_content", meddle)
        update_docker_config(path, made)
        assert json.loads(path.read_text())["late"] == 2 and HOST in path.read_text()

    def test_changes_without_end_are_told(self, path, made, monkeypatch):
        path.parent.mkdir()
        path.write_text("{}")
        content, numbers = config_file._content, iter(range(10_000))

        def meddle(target):
            path.write_text(json.dumps({"n": next(numbers)}))
            return content(target)

        monkeypatch.setattr(config_file, "_content", meddle)
        with pytest.raises(Conflict, match="nothing was written"):
            update_docker_config(path, made)
        assert names(path.parent) == ["config.json"]
