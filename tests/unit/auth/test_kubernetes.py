"""Pull secrets, External Secrets, Flux, Argo CD Image Updater."""

from __future__ import annotations

import base64
import datetime as dt
import json
import os
import re
import subprocess

import pytest

from ecrkit.auth import (
    GeneratorIdentity,
    credential_script,
    ecr_external_secret,
    flux_source,
    image_pull_secret,
    image_updater_registries,
    image_updater_secret,
    lint_image_updater,
    pull_secret_state,
)
from ecrkit.errors import InvalidInput
from tests.support.tokens import NOW, PASSWORD, make_token

HOST = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
DUAL = "123456789012.dkr-ecr.eu-west-1.on.aws"
HOUR = dt.timedelta(hours=1)


class TestPullSecret:
    """A Secret of type kubernetes.io/dockerconfigjson (Kubernetes, "Pull an Image from a Private Registry")."""

    def test_the_document(self):
        made = image_pull_secret("ecr.v1", [HOST], make_token(), namespace="shop", all_forms=True, labels={"app": "x"})
        document = made.document
        config = json.loads(base64.b64decode(document["data"].pop(".dockerconfigjson")))
        assert set(config["auths"]) == {HOST, DUAL}
        assert base64.b64decode(config["auths"][DUAL]["auth"]).decode() == f"AWS:{PASSWORD}"
        assert document == {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": "ecr.v1",
                "namespace": "shop",
                "annotations": {
                    "ecrkit/expires-at": "2026-01-01T12:00:00Z",
                    "ecrkit/refresh-at": "2026-01-01T06:00:00Z",
                },
                "labels": {"app": "x"},
            },
            "type": "kubernetes.io/dockerconfigjson",
            "data": {},
        }
        assert made.advice.stops_at == NOW + 12 * HOUR and made.advice.refresh_at == NOW + 6 * HOUR
        assert "kubelet" in made.advice.instead

    @pytest.mark.parametrize(
        ("name", "namespace", "paths"),
        [
            ("", None, ["name"]),
            ("Ecr", None, ["name"]),
            ("-ecr", "a.b", ["name", "namespace"]),
            ("e" * 254, "n" * 64, ["name", "namespace"]),
            ("ecr\n", None, ["name"]),
        ],
    )
    def test_names_that_kubernetes_refuses(self, name, namespace, paths):
        with pytest.raises(InvalidInput) as refused:
            image_pull_secret(name, [HOST], make_token(), namespace=namespace)
        assert [p.path for p in refused.value.problems] == paths

    def test_more_than_a_secret_holds(self):
        hosts = [f"{n:012d}.dkr.ecr.eu-west-1.amazonaws.com" for n in range(400)]
        with pytest.raises(InvalidInput, match="1048576"):
            image_pull_secret("ecr", hosts, make_token(password="x" * 2200))

    @pytest.mark.parametrize(
        ("after", "state"),
        [(0 * HOUR, "fresh"), (6 * HOUR, "refresh"), (12 * HOUR, "expired"), (20 * HOUR, "expired")],
    )
    def test_its_state(self, after, state):
        made = image_pull_secret("ecr", [HOST], make_token()).document
        assert pull_secret_state(made, now=NOW + after).state == state

    @pytest.mark.parametrize(
        "secret",
        [
            {},
            {"metadata": None},
            {"metadata": {"annotations": []}},
            {"metadata": {"annotations": {"ecrkit/expires-at": "?"}}},
        ],
    )
    def test_unknown_is_not_fresh(self, secret):
        assert pull_secret_state(secret, now=NOW).state == "unknown"

    def test_without_a_refresh_time_it_is_due(self):
        secret = {"metadata": {"annotations": {"ecrkit/expires-at": "2026-01-01T12:00:00Z"}}}
        assert pull_secret_state(secret, now=NOW).state == "refresh"


class TestExternalSecrets:
    """ECRAuthorizationToken gives username, password, expires_at, and proxy_endpoint for private registries only."""

    def test_private(self):
        made = ecr_external_secret(
            "ecr", [HOST, DUAL], namespace="shop", labels={"a": "b"},
            identity=GeneratorIdentity(service_account="puller", role="arn:aws:iam::123456789012:role/pull"),
        )  # fmt: skip
        generator, external = made.generator.document, made.external_secret.document
        assert generator["spec"] == {
            "region": "eu-west-1",
            "scope": "private",
            "role": "arn:aws:iam::123456789012:role/pull",
            "auth": {"jwt": {"serviceAccountRef": {"name": "puller"}}},
        }
        assert external["spec"]["dataFrom"] == [
            {
                "sourceRef": {
                    "generatorRef": {
                        "apiVersion": generator["apiVersion"],
                        "kind": "ECRAuthorizationToken",
                        "name": "ecr",
                    }
                }
            }
        ]
        assert json.loads(made.to_json())["items"] == [generator, external]

    @pytest.mark.parametrize("hosts", [[HOST, DUAL], ["public.ecr.aws", "ecr-public.aws.com"]])
    def test_the_template_is_docker_json_once_rendered(self, hosts):
        made = ecr_external_secret("ecr", hosts)
        template = made.external_secret.document["spec"]["target"]["template"]["data"][".dockerconfigjson"]
        assert "proxy_endpoint" not in template
        rendered = re.sub(r'\{\{ printf "%s:%s" \.username \.password \| b64enc \}\}', "QVdTOng=", template)
        assert json.loads(rendered) == {"auths": {host: {"auth": "QVdTOng="} for host in hosts}}

    def test_two_regions_need_two_generators(self):
        with pytest.raises(InvalidInput, match="a generator gives one token"):
            ecr_external_secret("ecr", [HOST, "public.ecr.aws"])

    @pytest.mark.parametrize("interval", ["0", "-1h", "12h", "24h", "1d", ""])
    def test_intervals_that_never_renew_in_time(self, interval):
        with pytest.raises(InvalidInput, match="refresh_interval"):
            ecr_external_secret("ecr", [HOST], refresh_interval=interval)

    def test_a_long_interval_is_told(self):
        assert ecr_external_secret("ecr", [HOST], refresh_interval="8h").advice.warnings
        assert not ecr_external_secret("ecr", [HOST], refresh_interval="6h").advice.warnings


class TestFlux:
    """spec.provider: aws takes the controller's identity and the Region of the host (Flux)."""

    def test_an_image_repository(self):
        made = flux_source("app", f"{HOST}/team/app:v1")
        assert made.document["spec"] == {"interval": "5m", "image": f"{HOST}/team/app", "provider": "aws"}
        assert made.document["apiVersion"] == "image.toolkit.fluxcd.io/v1"

    def test_an_oci_repository(self):
        digest = "sha256:" + "0" * 64
        made = flux_source("app", f"{HOST}/charts/app:v1", kind="OCIRepository")
        assert made.document["spec"]["url"] == f"oci://{HOST}/charts/app"
        assert made.document["spec"]["ref"] == {"tag": "v1"}
        pinned = flux_source("app", f"{HOST}/charts/app:v1@{digest}", kind="OCIRepository")
        assert pinned.document["spec"]["ref"] == {"digest": digest}

    def test_a_secret_instead(self):
        made = flux_source("app", "ecr-public.aws.com/nginx/nginx", secret="ecr")
        assert made.document["spec"]["secretRef"] == {"name": "ecr"} and "provider" not in made.document["spec"]
        assert "12 hours" in made.advice.stops_working

    @pytest.mark.parametrize(
        "image",
        ["123456789012.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn/app", "ecr-public.aws.com/eks/pause", "team/app"],
    )
    def test_hosts_that_flux_does_not_know(self, image):
        with pytest.raises(InvalidInput, match="image"):
            flux_source("app", image)

    def test_every_problem_at_once(self):
        with pytest.raises(InvalidInput) as refused:
            flux_source("App", "team/app", interval="soon", kind="HelmRepository")
        assert {p.path for p in refused.value.problems} == {"name", "image", "interval", "kind"}


class TestImageUpdater:
    """registries.conf, credential sources, and a script's one line within ten seconds (Argo CD Image Updater)."""

    def test_an_entry(self):
        made = image_updater_registries(HOST, "ext:/scripts/ecr.sh")
        (entry,) = made.document["registries"]
        assert entry["prefix"] == HOST and entry["api_url"] == f"https://{HOST}" and entry["credsexpire"] == "10h"
        assert lint_image_updater(made.document) == ()
        assert "script" in made.advice.stops_working
        assert "12 hours" in image_updater_registries(HOST, "secret:argocd/ecr#creds").advice.stops_working

    def test_the_secret(self):
        made = image_updater_secret("ecr", make_token())
        assert base64.b64decode(made.document["data"]["creds"]).decode() == f"AWS:{PASSWORD}"
        assert made.document["metadata"]["annotations"]["ecrkit/refresh-at"] == "2026-01-01T06:00:00Z"
        with pytest.raises(InvalidInput):
            image_updater_secret("ecr", make_token(), field="a b")

    def test_the_scripts_print_one_line(self, tmp_path):
        (tmp_path / "token").write_text("AWS:secret\n")
        aws = tmp_path / "aws"
        aws.write_text('#!/bin/sh\necho "$*" >&2\necho from-cli\n')
        aws.chmod(0o755)
        env = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        for text, said in (
            (credential_script(HOST, file=str(tmp_path / "token")), "AWS:secret\n"),
            (credential_script(HOST, source="aws-cli"), "AWS:from-cli\n"),
        ):
            done = subprocess.run(["/bin/sh"], input=text, env=env, capture_output=True, text=True, check=True)
            assert done.stdout == said
        assert done.stderr == "ecr get-login-password --region eu-west-1\n"
        assert "ecr-public get-login-password --region us-east-1" in credential_script(
            "public.ecr.aws", source="aws-cli"
        )

    @pytest.mark.parametrize("file", ["", "token", "/a'b", "/a\nb"])
    def test_a_file_that_would_break_the_script(self, file):
        with pytest.raises(InvalidInput):
            credential_script(HOST, file=file)

    @pytest.mark.parametrize(
        ("change", "code"),
        [
            ({"credsexpire": None}, "no-creds-expire"),
            ({"credsexpire": "1d"}, "creds-expire"),
            ({"credsexpire": "0"}, "creds-expire"),
            ({"credsexpire": "12h"}, "creds-expire-too-late"),
            ({"credsexpire": "720m"}, "creds-expire-too-late"),
            ({"credsexpire": "11h30m"}, "creds-expire-late"),
            ({"credentials": None}, "no-credentials"),
            ({"credentials": "AWS:pass"}, "credentials"),
            ({"credentials": "ext:ecr.sh"}, "script-path"),
            ({"api_url": f"https://{DUAL}"}, "api-url"),
            ({"prefix": "12345.dkr.ecr.eu-west-1.amazonaws.com", "api_url": ""}, "host"),
            ({"note": "argocd.argoproj.io/image-list"}, "annotation"),
        ],
    )
    def test_each_fault(self, change, code):
        entry = image_updater_registries(HOST, "ext:/scripts/ecr.sh").document["registries"][0] | change
        entry = {key: value for key, value in entry.items() if value is not None}
        found = lint_image_updater({"registries": [entry]})
        assert [f.code for f in found] == [code]
        assert "AWS:pass" not in found[0].message

    def test_other_registries_are_passed_over(self):
        assert lint_image_updater({"registries": [{"prefix": "docker.io", "api_url": "https://x"}]}) == ()
        assert [f.code for f in lint_image_updater({})] == ["no-registries"]
        assert [f.code for f in lint_image_updater({"registries": ["x"]})] == ["entry"]

    def test_what_a_script_does(self):
        document = image_updater_registries(HOST, "ext:/s.sh").document
        slow = credential_script(HOST, source="aws-cli")
        assert [f.code for f in lint_image_updater(document, scripts={"/s.sh": slow})] == ["slow-script"]
        fast = credential_script(HOST, file="/t")
        assert lint_image_updater(document, scripts={"/s.sh": fast}, token_region="eu-west-1") == ()
        found = lint_image_updater(document, scripts={"/s.sh": slow.replace("eu-west-1", "us-east-1")})
        assert [f.code for f in found] == ["slow-script", "token-region"]
        assert [f.code for f in lint_image_updater(document, scripts={"/s.sh": "cat /t"})] == ["no-interpreter"]

    def test_it_refuses_what_the_lint_refuses(self):
        with pytest.raises(InvalidInput, match="12h"):
            image_updater_registries(HOST, "ext:/s.sh", expires="12h")
        assert image_updater_registries(HOST, "ext:/s.sh", expires="11h30m").advice.warnings
