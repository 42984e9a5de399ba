"""Images found and rewritten in files: only the bytes of the names change."""

from __future__ import annotations

import pytest

from ecrkit.deployments.files import places_in, rewrite_text
from ecrkit.deployments.files.places import Place
from ecrkit.errors import InvalidInput

DIGEST = "sha256:" + "d" * 64


def pin(place: Place) -> str:
    name = place.reference.partition("@")[0]
    head, _, last = name.rpartition("/")
    bare = last.partition(":")[0]
    return f"{head}/{bare}@{DIGEST}" if head else f"{bare}@{DIGEST}"


def pinned(name: str, text: str, **more: bool) -> str:
    return rewrite_text(name, text, pin, **more).after


class TestKubernetes:
    """Containers of every kind, in whatever object holds a PodSpec (Kubernetes API reference, PodSpec)."""

    def test_every_container_and_image_volume_and_nothing_else(self) -> None:
        text = """\
# image: not/this:1
apiVersion: batch/v1
kind: CronJob
metadata: {name: x, annotations: {image: "team/app:1"}}
spec:
  jobTemplate:
    spec:
      template:
        spec:
          initContainers:
          - {name: a, image: 'team/init:1'}   # keep me
          containers:
          - name: b
            image:   "team/app:1"  # and me
          ephemeralContainers: [{image: team/debug:1}]
          volumes:
          - image: {reference: team/data:1, pullPolicy: Always}
"""
        expected = text
        for name in ("team/init", "team/debug", "team/data"):
            expected = expected.replace(f"{name}:1", f"{name}@{DIGEST}")
        expected = expected.replace('image:   "team/app:1"', f'image:   "team/app@{DIGEST}"')
        assert pinned("x.yaml", text) == expected

    def test_documents_windows_lines_and_a_byte_order_mark_stay(self) -> None:
        text = (
            "\ufeff---\r\napiVersion: v1\r\nkind: Pod\r\nspec:\r\n  containers:\r\n  - image: a/b:1\r\n"
            "--- # two\r\napiVersion: v1\r\nkind: List\r\nitems:\r\n- apiVersion: v1\r\n  kind: Pod\r\n"
            "  spec: {containers: [{image: a/c:1}]}\r\n...\r\n"
        )
        made = rewrite_text("x.yml", text, pin)
        assert made.after == text.replace("a/b:1", f"a/b@{DIGEST}").replace("a/c:1", f"a/c@{DIGEST}")
        assert [(c.path, c.line) for c in made.changes] == [
            ("$0.spec.containers[0].image", 6),
            ("$1.items[0].spec.containers[0].image", 13),
        ]

    def test_anchors_of_images_change_once(self) -> None:
        text = "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - image: &i a/b:1\n  - image: *i\n"
        made = rewrite_text("x.yaml", text, pin)
        assert (made.after, len(made.changes)) == (text.replace("a/b:1", f"a/b@{DIGEST}"), 1)

    def test_an_alias_that_carries_an_image_elsewhere_is_refused(self) -> None:
        text = "apiVersion: v1\nkind: Pod\nmetadata: {labels: {v: &i a/b:1}}\nspec:\n  containers:\n  - image: *i\n"
        with pytest.raises(InvalidInput, match="by an alias"):
            pinned("x.yaml", text)

    def test_block_scalars(self) -> None:
        text = "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - image: >-\n      a/b:1\n    name: x\n"
        assert pinned("x.yaml", text) == text.replace("a/b:1", f"a/b@{DIGEST}")

    def test_escapes_and_folded_lines_are_refused(self) -> None:
        text = 'apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - image: "a\\x2fb:1"\n'
        made = rewrite_text("x.yaml", text, pin)
        assert made.after == text
        assert "written with escapes" in made.refused[0].reason

    def test_template_expressions_are_refused_with_the_reason(self) -> None:
        text = (
            "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - image: '{{ .Values.image }}'\n  - image: $(IMAGE)\n"
        )
        made = rewrite_text("x.yaml", text, pin)
        assert made.after == text
        assert ["template expression" in r.reason for r in made.refused] == [True, True]

    @pytest.mark.parametrize("name", ["chart/templates/x.yaml", "x.yaml"])
    def test_templates_of_charts_are_refused(self, name: str) -> None:
        with pytest.raises(InvalidInput, match="template"):
            pinned(name, "{{- if .x }}\nkind: Pod\n{{ end }}\n")

    def test_json_keeps_its_layout(self) -> None:
        text = '{\n\t"apiVersion": "v1", "kind":"Pod",\n\t"spec": {"containers": [ {"image" :  "a/b:1"} ], "x": [1.50, null, "\\u00e9"]}}\n'
        assert pinned("x.json", text) == text.replace("a/b:1", f"a/b@{DIGEST}")

    def test_what_is_no_reference_is_said(self) -> None:
        text = "apiVersion: v1\nkind: Pod\nspec: {containers: [{image: A/B:1}, {image: 7}, {}, {image: }]}\n"
        (refused,) = [r for r in rewrite_text("x.yaml", text, pin).refused if r.reference != "7"]
        assert "no repository name" in refused.reason

    @pytest.mark.parametrize("text", ["a: [", "a: b: c", "\ta: 1", "a: *x", "a: \x00"])
    def test_broken_files_are_refused(self, text: str) -> None:
        with pytest.raises(InvalidInput, match="not YAML"):
            pinned("x.yaml", text)

    def test_aliases_of_aliases_end(self) -> None:
        lines = ["apiVersion: v1", "kind: Pod", "spec: {containers: [{image: a/b:1}]}", "a0: &a0 [x]"]
        lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
        with pytest.raises(InvalidInput, match="too many places"):
            pinned("x.yaml", "\n".join(lines) + "\n")


class TestKustomize:
    """images: newName, newTag, digest (Kustomize reference); `name` is what the bases say and stays."""

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ("- name: app\n  newTag: v1 # c\n", f"- name: app\n  digest: {DIGEST} # c\n"),
            ("- name: app\n  newTag: '1.10'\n", f"- name: app\n  digest: '{DIGEST}'\n"),
            ("- newTag: v1\n  name: app\n  newName: r.io/a\n", f"- digest: {DIGEST}\n  name: app\n  newName: r.io/a\n"),
            ("- name: app\n  digest: sha256:" + "0" * 64 + "\n", f"- name: app\n  digest: {DIGEST}\n"),
            ("- name: app # c\n- name: b\n  newTag: '1'\n", f"- name: app # c\n  digest: {DIGEST}\n- name: b\n  digest: '{DIGEST}'\n"),
            ("- {name: app, newTag: v1}\n", f"- {{name: app, digest: {DIGEST}}}\n"),
            ("- {name: app}\n", f"- {{name: app, digest: {DIGEST}}}\n"),
            ("- name: app", f"- name: app\n  digest: {DIGEST}"),
        ],
    )  # fmt: skip
    def test_to_a_digest(self, before: str, after: str) -> None:
        assert pinned("kustomization.yaml", f"images:\n{before}") == f"images:\n{after}"

    def test_to_another_registry_and_tag(self) -> None:
        text = "images:\n- name: app\n  newTag: v1\n- name: b\n  newName: r.io/b\n  newTag: v1\n"
        made = rewrite_text(
            "k.yaml", "kind: Kustomization\n" + text, lambda p: f"q.io/{p.reference.split('/')[-1][:-1]}10"
        )
        assert made.after == (
            "kind: Kustomization\nimages:\n- name: app\n  newTag: v10\n  newName: q.io/app\n- name: b\n  newName: q.io/b\n  newTag: v10\n"
        )

    def test_a_tag_that_yaml_would_read_as_a_number_is_quoted(self) -> None:
        text = "images:\n- name: app\n  newTag: v1\n"
        made = rewrite_text("kustomization.yaml", text, lambda p: "app:1.10")
        assert made.after == 'images:\n- name: app\n  newTag: "1.10"\n'


class TestHelmValues:
    """The shapes of values: one text; repository and tag; with a registry; with a digest."""

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ('image: "a/b:1"\n', f'image: "a/b@{DIGEST}"\n'),
            ("sidecarImage: a/b:1 # c\n", f"sidecarImage: a/b@{DIGEST} # c\n"),
            ('image:\n  repository: a/b\n  tag: 1.10 # c\n  digest: ""\n', f'image:\n  repository: a/b\n  tag: 1.10 # c\n  digest: "{DIGEST}"\n'),
            ("image:\n  repository: a/b\n  tag: v1\n  digest:\n", f"image:\n  repository: a/b\n  tag: v1\n  digest: {DIGEST}\n"),
            ("image: {registry: r.io, repository: a/b, tag: v1, digest: null}\n", f'image: {{registry: r.io, repository: a/b, tag: v1, digest: "{DIGEST}"}}\n'),
        ],
    )  # fmt: skip
    def test_pinned(self, before: str, after: str) -> None:
        assert pinned("values.yaml", before) == after

    def test_without_a_digest_value_it_is_refused_unless_the_chart_takes_it_behind_the_tag(self) -> None:
        text = "api:\n  image:\n    repository: a/b\n    tag: 1.10\n"
        made = rewrite_text("values-prod.yaml", text, pin)
        assert (made.after, "digest_in_tag" in made.refused[0].reason) == (text, True)
        assert pinned("values-prod.yaml", text, digest_in_tag=True) == text.replace("1.10", f"1.10@{DIGEST}")

    def test_without_a_tag_the_chart_decides(self) -> None:
        made = rewrite_text("values.yaml", "image:\n  repository: a/b\n  tag: ''\n", pin)
        assert "appVersion" in made.refused[0].reason

    def test_registry_and_repository_change_apart(self) -> None:
        text = "image:\n  registry: r.io # r\n  repository: a/b # n\n  tag: v1\n"
        made = rewrite_text("values.yaml", text, lambda p: p.reference.replace("r.io/a", "q.io/c"))
        assert made.after == text.replace("r.io", "q.io").replace("a/b", "c/b")

    def test_other_mappings_are_left(self) -> None:
        text = "chart:\n  repository: https://charts.example\nimages: 3\nimage: false\n"
        assert places_in("values.yaml", text) == []


class TestDockerfiles:
    """FROM with arguments and stages, COPY --from, RUN --mount, here-documents, continued lines (Dockerfile reference)."""

    def test_all_and_only_images(self) -> None:
        text = (
            "# syntax=docker/dockerfile:1\r\nARG BASE=node:20  \r\nARG TAG=3.12 OTHER='x'\r\n"
            "FROM --platform=$BUILDPLATFORM ${BASE} AS Build\r\n# FROM not:this\r\n"
            "RUN <<EOF\r\nFROM not:that\r\nEOF\r\nRUN --mount=type=bind,from=golang:1.22,target=/x \\\r\n  # FROM no:no\r\n  echo\r\n"
            "FROM build AS two\r\nFROM python:${TAG}\r\nCOPY --from=build /a /b\r\nCOPY --from=0 /a /b\r\n"
            "COPY --from=busybox:1 /a /b\r\nFROM scratch\r\nFROM context\r\nonbuild copy --from=alpine:3 a b\r\n"
        )
        made = rewrite_text("Dockerfile", text, lambda p: f"m.io/{p.reference}")
        expected = text
        for old in (
            "BASE=node:20",
            "from=golang:1.22",
            "FROM python:",
            "from=busybox:1",
            "from=alpine:3",
            "FROM context",
        ):
            head = old.partition("=")[0] + "=" if "=" in old else "FROM "
            expected = expected.replace(old, f"{head}m.io/{old.removeprefix(head)}")
        assert made.after == expected
        assert made.refused == ()

    def test_arguments_without_a_default_are_refused(self) -> None:
        made = rewrite_text("Dockerfile", "ARG V\nFROM node:$V\nFROM ${W:-node:20}\n", lambda p: "m.io/x")
        assert ["without a default" in r.reason for r in made.refused] == [True, False]
        assert "change their defaults" in made.refused[1].reason

    def test_escape_directive(self) -> None:
        text = "# escape=`\nFROM node:20\nRUN a `\n  FROM no:no\nFROM node:22\n"
        assert rewrite_text("Dockerfile", text, lambda p: f"m/{p.reference}").after == text.replace(
            "FROM node", "FROM m/node"
        )
