"""Templates: each proves itself on its made-up repository, and the embedded ECR does what the proof says."""

from __future__ import annotations

import datetime as dt

import attrs
import pytest

from ecrkit.lifecycle import LifecyclePolicy, lint, simulate, templates, timeline

NOW = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)
ALL = templates.all_templates()
# Two moving tags on one image; ages at the very limit; children, which their index holds; an archive that is empty yet.
HARMLESS = {"shadowed", "near-threshold", "unselected-images", "never-pulled", "selects-nothing", "eats-index-children"}


@pytest.mark.parametrize("template", ALL, ids=lambda t: t.name)
class TestEach:
    def test_it_proves_itself(self, template):
        template.prove(NOW).require()

    def test_ecr_would_take_it_and_no_rule_is_dead(self, template):
        assert LifecyclePolicy.parse(template.policy.to_json()) == template.policy
        run = simulate(template.policy, template.example(NOW), now=NOW)
        dead = [c.rule.priority for c in run.selected if not c.members and c.rule.storage_class == "standard"]
        assert dead == []
        assert {advice.code for advice in lint(run)} <= HARMLESS

    def test_it_does_something_and_not_everything(self, template):
        run = simulate(template.policy, template.example(NOW), now=NOW)
        assert run.expired or run.transitioned
        assert run.kept

    def test_it_settles_within_a_year(self, template):
        found = timeline(template.policy, template.example(NOW), now=NOW, until=NOW + dt.timedelta(days=365))
        after = simulate(template.policy, found.remaining, now=NOW + dt.timedelta(days=366))
        assert len(found.remaining) < len(found.start)
        assert not after.blocked or template.name.startswith("multi-platform")

    def test_its_words(self, template):
        assert template.about.endswith(".")
        assert template.name == template.name.lower()


def test_signatures_stay_with_their_image_and_go_with_it():
    signed = templates.multi_platform(untagged_days=None)
    run = simulate(signed.policy, signed.example(NOW), now=NOW)
    for image in run.images:
        if image.subject_digest is not None:
            assert (image.digest in run.kept) == (image.subject_digest in run.kept)
    assert run.cascaded


class TestArguments:
    """The proof holds for other numbers too."""

    @pytest.mark.parametrize(
        "made",
        [
            templates.release_trains(keep=3, prefixes=("v", "web-"), candidates=1, candidate_days=9, protected=("*-x", "y*")),
            templates.release_trains(keep=1, candidates=0),
            templates.trunk(keep=8, prefix="sha-", moving=["edge"]), templates.pull_requests(days=3, prefix="preview-"),
            templates.build_caches(days=2, patterns=["tmp*"]), templates.pull_through_cache(archive_days=30, delete_days=120),
            templates.multi_platform(keep=2, prefix="r", untagged_days=4),
        ],
        ids=lambda t: t.name,
    )  # fmt: skip
    def test_other_numbers(self, made):
        report = made.prove(NOW)
        assert {r.verdict for r in report.results} <= {"passed", "untested"}, str(report)
        assert sum(r.verdict == "passed" for r in report.results) >= 2


def test_a_count_that_forgets_the_candidates_loses_releases():
    """Why the release template counts them: a rule counts what an earlier rule takes."""
    forgetful = templates.release_trains(keep=5, candidates=0)
    with_candidates = templates.release_trains(keep=5, candidates=3)
    mixed = attrs.evolve(with_candidates, policy=forgetful.policy)
    [verdict] = [r.verdict for r in mixed.prove(NOW).results if r.expectation.startswith('keeps "v1')]
    assert verdict == "failed"
