from __future__ import annotations

import json
import pickle

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ecrkit.admission.manifests import service, service_account
from ecrkit.admission.manifests._yaml import yaml_text
from ecrkit.errors import InvalidInput

TEXTS = st.text(max_size=40) | st.sampled_from([
    "yes", "No", "off", "null", "~", "1.0", "1e3", "0x1", "12:30:00", "2026-01-01", "", " ", "a: b", "- a", "#", "a #b",
    "|", ">", "line\nline\n", "line\nline", "\nline", "line\n\n", "  lead\nx", "trail \nx\n", "a\tb\nc", "\ud7ff\n\x85",
    "é\u2028\n", "\U0001f600", "\ufeff", "=", "<<", "a\r\nb", "---\nx", "key:\n", "%", "@a", "`a`", "{}", "[a]", "!x",
])  # fmt: skip
VALUES = st.recursive(
    TEXTS | st.booleans() | st.none() | st.integers(-(2**63), 2**63),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


class TestYamlText:
    """The text means the document, whatever a YAML parser would take a bare word for."""

    @settings(max_examples=150)
    @given(st.dictionaries(TEXTS, VALUES, min_size=1, max_size=4))
    @example({"a": [["b", [{"c": "x\ny\n"}]], {}, []], "on": "no"})
    def test_a_parser_reads_the_document_again(self, document):
        assert yaml.safe_load(yaml_text(document)) == document

    def test_programs_stand_line_by_line(self):
        assert yaml_text({"rego": "package a\n\nb := 1\n"}) == "rego: |\n  package a\n\n  b := 1\n"


class TestManifests:
    def test_a_list_and_a_stream_hold_the_same_objects(self):
        made = service() + service_account(role="arn:aws:iam::123456789012:role/admission")
        assert [d["kind"] for d in made] == ["Service", "ServiceAccount"]
        assert list(yaml.safe_load_all(made.to_yaml())) == list(made.documents)
        assert json.loads(made.to_json()) == {"apiVersion": "v1", "kind": "List", "items": list(made)}
        assert len(made) == 2
        assert repr(made) == "<Manifests of Service/ecrkit-admission, ServiceAccount/ecrkit-admission>"

    def test_nobody_changes_the_objects_from_outside(self):
        made = service()
        made.documents[0]["spec"]["type"] = "LoadBalancer"
        assert made.of("Service")["spec"]["type"] == "ClusterIP"

    def test_the_same_object_twice_is_one(self):
        assert len(service() + service()) == 1

    def test_two_that_differ_under_one_name_are_refused(self):
        with pytest.raises(InvalidInput, match="Service/ecrkit-system/ecrkit-admission: is in both, and differs"):
            service() + service(port=8443)

    def test_of_wants_exactly_one(self):
        made = service() + service(name="other")
        assert made.of("Service", "other")["metadata"]["name"] == "other"
        for kind in ("Service", "Pod"):
            with pytest.raises(InvalidInput, match="of them; there are Service/ecrkit-admission, Service/other"):
                made.of(kind)

    def test_equal_hashes_and_pickles(self):
        made = service()
        assert made == service()
        assert hash(made) == hash(service())
        assert made != service(port=8443)
        assert made != "service"
        assert pickle.loads(pickle.dumps(made)) == made
