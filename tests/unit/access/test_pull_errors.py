"""The real texts of failed pulls and their causes (field reports, ECR user guide)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ecrkit.access.pull_error_table import SIGNATURES
from ecrkit.access.pull_errors import diagnose

HOST = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
PREFIX = f'failed to pull and unpack image "{HOST}/app:v1": failed to resolve reference "{HOST}/app:v1": '
TEXTS = [
    (PREFIX + "pull access denied, repository does not exist or may require authorization: authorization failed: no basic auth credentials", "no-credentials"),
    ("error execing credential provider plugin ecr-credential-provider for image x: AccessDeniedException: User: arn:aws:sts::1:assumed-role/n/i is not authorized to perform: ecr:GetAuthorizationToken on resource: *", "token-permission"),
    ("error execing credential provider plugin ecr-credential-provider for image: context deadline exceeded", "provider-unreachable"),
    ("AccessDeniedException ... is not authorized to perform: ecr-public:GetAuthorizationToken", "public-token"),
    (PREFIX + f"unexpected status from HEAD request to https://{HOST}/v2/app/manifests/v1: 403 Forbidden", "manifest-access"),
    (PREFIX + "unexpected status code [manifests v1]: 403 Forbidden", "manifest-access"),
    (f"unexpected status from HEAD request to https://{HOST}/v2/x/blobs/sha256:abc0: 403 Forbidden", "manifest-access"),
    ("denied: User: arn:aws:sts::1:assumed-role/n/i is not authorized to perform: ecr:BatchGetImage on resource: arn:aws:ecr:x because no identity-based policy allows the ecr:BatchGetImage action", "not-allowed"),
    ("denied: User: arn:aws:sts::1:assumed-role/n/i is not authorized to perform: ecr:BatchGetImage on resource: arn:aws:ecr:x with an explicit deny in a service control policy", "explicit-deny"),
    ("denied: Your authorization token has expired. Reauthenticate and try again.", "static-credential-expired"),
    ("Your Authorization Token has expired. Please run 'aws ecr get-login' to fetch a new one.", "static-credential-expired"),
    (PREFIX + "unexpected status code 401 Unauthorized", "bad-credentials"),
    (f"rpc error: code = NotFound desc = failed to pull: {HOST}/app:v1: not found", "image-missing"),
    ("name unknown: The repository with name 'r' does not exist in the registry with id '123456789012'", "repository-missing"),
    ("manifest unknown: Requested image not found", "image-missing"),
    ("denied: The authentication to the upstream registry failed. Verify the secret", "upstream-credential"),
    ("error parsing HTTP 403 response body: invalid character '<' looking for value: \"<Error><Code>AccessDenied</Code>\"", "layer-bucket"),
    ("failed to copy: httpReadSeeker: failed open: unexpected status code https://prod-eu-west-1-starport-layer-bucket.s3.amazonaws.com/x: 403 Forbidden", "layer-bucket"),
    ("net/http: TLS handshake timeout", "network"),
    ("dial tcp 10.0.0.1:443: i/o timeout", "network"),
    ("toomanyrequests: Rate exceeded", "throttled"),
    ("pull QPS exceeded", "kubelet-qps"),
    (PREFIX + "no match for platform in manifest: not found", "platform-missing"),
    ("no matching manifest for linux/arm64/v8 in the manifest list entries", "platform-missing"),
    ("KMSAccessDeniedException: Lambda was unable to decrypt", "kms"),
    ("error getting credentials - err: credentials not found in native keychain", "no-credentials"),
    ("Error parsing the serverURL", "wrong-plugin"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "code"), TEXTS, ids=[c for _, c in TEXTS])
class TestTexts:
    """Each text has one likeliest cause, with a probe and a fix."""

    def test_text(self, text: str, code: str) -> None:
        found = diagnose(text)
        assert found.likeliest.code == code and found.known
        assert found.likeliest.probe and found.likeliest.fix and found.explain()

    def test_in_a_pod_status_and_an_event(self, text: str, code: str) -> None:
        waiting = {"state": {"waiting": {"reason": "ErrImagePull", "message": text}}}
        assert diagnose({"status": {"containerStatuses": [waiting]}}).likeliest.code == code
        assert diagnose({"initContainerStatuses": [waiting]}).likeliest.code == code
        assert diagnose({"reason": "Failed", "message": text}).likeliest.code == code


class TestTraps:
    """What is often taken for something else."""

    def test_manifest_403_keeps_the_expired_token_second(self) -> None:
        assert [c.code for c in diagnose(TEXTS[4][0]).causes] == ["manifest-access", "static-credential-expired"]

    def test_public_token_does_not_block(self) -> None:
        assert not diagnose(TEXTS[3][0]).blocking and diagnose(TEXTS[0][0]).blocking

    def test_facts_of_a_denial(self) -> None:
        found = diagnose(TEXTS[7][0])
        assert (found.action, found.resource) == ("ecr:BatchGetImage", "arn:aws:ecr:x")
        assert found.principal == "arn:aws:sts::1:assumed-role/n/i"

    def test_image(self) -> None:
        assert diagnose(TEXTS[0][0]).image == f"{HOST}/app:v1"

    @pytest.mark.parametrize("image", [
        "public.ecr.aws/nginx/nginx:1", "ecr-public.aws.com/eks/pause:3.9",
        "111111111111.dkr-ecr.eu-west-1.on.aws/app@sha256:" + "a" * 64,
        "111111111111.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn/app:1",
        "111111111111.dkr.ecr.cn-north-1.amazonaws.com.cn/app:1", "111111111111.dkr.ecr.eusc-de-east-1.amazonaws.eu/a:1",
        "111111111111.dkr.ecr.us-iso-east-1.c2s.ic.gov/app:1", "111111111111.dkr.ecr.us-isob-east-1.sc2s.sgov.gov/app:1",
        "111111111111.dkr.ecr.eu-isoe-west-1.cloud.adc-e.uk/app:1", "111111111111.dkr.ecr.us-isof-south-1.csp.hci.ic.gov/a:1",
    ])  # fmt: skip
    def test_image_of_every_kind_of_host(self, image: str) -> None:
        """The image is found in the kubelet's words, whatever the partition (AWS general reference, ECR endpoints)."""
        assert diagnose(f'Failed to pull image "{image}": toomanyrequests: Rate exceeded').image == image

    @pytest.mark.parametrize("text", ["", "Back-off pulling image", "x" * 100_000, "User: " * 20_000])
    def test_unknown_stays_unknown(self, text: str) -> None:
        found = diagnose(text)
        assert not found.known and found.likeliest.confidence == "low"


PAGE = Path(__file__).parents[3] / "docs" / "howto" / "image-pull-backoff.md"
ROWS = re.findall(r"^\| `(.+?)` \| `([a-z-]+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


class TestTableOfTheDocumentation:
    """What the page says of a text is what `diagnose` says, and every cause a pull can have stands there."""

    @pytest.mark.parametrize(("text", "code"), ROWS)
    def test_row(self, text: str, code: str) -> None:
        assert diagnose(text).likeliest.code == code

    def test_every_text_that_is_known_is_there(self) -> None:
        known = {rows[0][0] for _, rows, _ in SIGNATURES} | {"not-allowed", "explicit-deny"}
        # Told by configuration and by policies being put, not by a pull.
        elsewhere = {"kubelet-ignores-helpers", "wrong-plugin", "repository-policy-refused"}
        assert {code for _, code in ROWS} == known - elsewhere
