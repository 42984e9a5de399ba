"""The configuration file of the server: all problems at once, with paths; unknown keys refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from ecrkit.admission import admission_configuration, load_admission_configuration
from ecrkit.errors import InvalidPolicy

WHOLE = """
version = 1
mode = "audit"
outside = "skip"
deadline_seconds = 1.5
certified = ["admit"]
region = "eu-west-1"
registry_id = "123456789012"
[lifetimes]
pass_seconds = 600
stale_while_error_seconds = 60
[limits]
entries = 5
workers = 2
queue = 3
body_bytes = 1000
[server]
host = "127.0.0.1"
port = 0
threads = 4
[[profiles]]
name = "prod"
namespaces = ["prod-*"]
repositories = ["team/*"]
conditions = ["signed", "not-archived"]
exemptions = ["exemptions.toml"]
platforms = ["linux/amd64"]
outside = "deny"
gate = {limits = {CRITICAL = 0}, grace_days = {HIGH = 7}}
[[profiles]]
name = "rest"
mode = "audit"
gate = {limits = {CRITICAL = 5}}
"""


class TestWholeFile:
    def test_everything_is_read(self, tmp_path: Path) -> None:
        (tmp_path / "gate.toml").write_text(WHOLE)
        (tmp_path / "exemptions.toml").write_text(
            '[[exemptions]]\nid = "CVE-2026-1"\nreason = "x"\nexpires = 2027-01-01\n'
        )
        made = load_admission_configuration(tmp_path / "gate.toml")
        prod, rest = made.profiles.entries
        assert (made.mode, made.deadline, made.region, made.registry_id) == ("audit", 1.5, "eu-west-1", "123456789012")
        assert (made.lifetimes.pass_seconds, made.lifetimes.fail_seconds) == (600, 60.0)
        assert (made.limits.entries, made.limits.workers, made.limits.queue, made.body_bytes) == (5, 2, 3, 1000)
        assert (made.server.host, made.server.port, made.server.threads) == ("127.0.0.1", 0, 4)
        assert made.certified == {"admit"}
        assert (prod.outside, rest.outside, rest.mode) == ("deny", "skip", "audit")
        assert (len(prod.exemptions), prod.platforms, prod.repositories) == (1, ("linux/amd64",), ("team/*",))
        assert made.conditions == ("signed", "not-archived")

    def test_defaults_are_strict(self) -> None:
        made = admission_configuration({"profiles": [{"name": "a", "gate": {"limits": {"CRITICAL": 0}}}]})
        assert (made.mode, made.profiles.entries[0].outside, made.profiles.entries[0].mode) == (
            "enforce",
            "deny",
            "enforce",
        )
        assert made.lifetimes.stale_while_error_seconds == 0
        assert made.certified == {"admit", "gatekeeper", "kyverno"}
        assert made.server.port == 8443


class TestFaults:
    def test_all_problems_at_once(self) -> None:
        bad = {
            "mod": "audit", "mode": "off", "outside": 5, "deadline_seconds": 0, "certified": ["all"],
            "lifetimes": {"pass": 1, "fail_seconds": -1}, "limits": {"entries": "x", "bytes": 1, "body_bytes": 0},
            "server": {"port": 99999, "host": 5, "threads": True, "color": "red"}, "version": 2,
            "profiles": [
                {"name": "a|b", "gate": {"limits": {"BAD": 0}}, "conditions": ["lucky"], "namespace": "x"},
                {"gate": 5, "exemptions": ["missing.toml"]}, 7,
            ],
        }  # fmt: skip
        with pytest.raises(InvalidPolicy) as fault:
            admission_configuration(bad)
        paths = {p.path for p in fault.value.problems}
        assert paths >= {
            "$.mod", "$.mode", "$.outside", "$.deadline_seconds", "$.certified", "$.lifetimes.pass",
            "$.lifetimes.fail_seconds", "$.limits.entries", "$.limits.bytes", "$.limits.body_bytes", "$.server.port",
            "$.server.host", "$.server.threads", "$.server.color", "$.version", "$.profiles[0].name",
            "$.profiles[0].gate.limits.BAD", "$.profiles[0].conditions", "$.profiles[0].namespace",
            "$.profiles[1].name", "$.profiles[1].gate", "$.profiles[1].exemptions", "$.profiles[2]",
        }  # fmt: skip

    @pytest.mark.parametrize(
        "text",
        ["", "profiles = []", "= x", "[]", '{"profiles": [], "profiles": []}', "[[profiles]]\nname = 'a'\n",
         "[[profiles]]\nname='a'\ngate={limits={CRITICAL=0}}\n[[profiles]]\nname='a'\ngate={limits={CRITICAL=0}}\n"],
    )  # fmt: skip
    def test_no_configuration(self, text: str) -> None:
        with pytest.raises(InvalidPolicy):
            admission_configuration(text)
