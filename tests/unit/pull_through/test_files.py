"""A tree of Dockerfiles and manifests sent through the cache, and back to the same bytes."""

from __future__ import annotations

from pathlib import Path

from ecrkit.pull_through import PullThroughCache, PullThroughRule

HOST = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
CACHE = PullThroughCache.of(
    HOST,
    [PullThroughRule(prefix="hub", upstream_url="registry-1.docker.io"), PullThroughRule(prefix="quay", upstream_url="quay.io")],
)  # fmt: skip

DOCKERFILE = b"""# syntax=docker/dockerfile:1\r
ARG BASE=docker.io/library/node:20\r
FROM $BASE AS build\r
RUN --mount=type=bind,from=quay.io/team/tools:3,target=/t make\r
FROM ghcr.io/other/base:1\r
COPY --from=build /a /a\r
COPY --from=docker.io/library/busybox:1.36 /bin/sh /bin/sh\r
"""
POD = b"""\xef\xbb\xbfapiVersion: v1
kind: Pod
spec:
  containers:
    - image: "quay.io/team/web:1"   # the web
    - image: docker.io/grafana/loki@sha256:%s
---
# nothing here
""" % (b"0" * 64)


class TestTree:
    """Names change both ways; what is no name never does."""

    def test_there_and_back(self, tmp_path: Path) -> None:
        (tmp_path / "app").mkdir()
        docker, pod = tmp_path / "app/Dockerfile", tmp_path / "pod.yaml"
        docker.write_bytes(DOCKERFILE)
        pod.write_bytes(POD)
        plan = CACHE.plan_folder(tmp_path)
        plan.apply()
        there = DOCKERFILE.replace(b"docker.io/", f"{HOST}/hub/".encode()).replace(
            b"quay.io/", f"{HOST}/quay/".encode()
        )
        assert docker.read_bytes() == there
        assert pod.read_bytes() == POD.replace(b"docker.io/", f"{HOST}/hub/".encode()).replace(
            b"quay.io/", f"{HOST}/quay/".encode()
        )
        assert CACHE.plan_folder(tmp_path).needed is False
        CACHE.plan_folder(tmp_path, back=True).apply()
        assert (docker.read_bytes(), pod.read_bytes()) == (DOCKERFILE, POD)

    def test_short_names(self, tmp_path: Path) -> None:
        (tmp_path / "Dockerfile").write_text("FROM node:20\nFROM grafana/loki\n")
        CACHE.plan_folder(tmp_path).apply()
        assert (
            tmp_path / "Dockerfile"
        ).read_text() == f"FROM {HOST}/hub/library/node:20\nFROM {HOST}/hub/grafana/loki\n"
