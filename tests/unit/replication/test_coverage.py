from __future__ import annotations

import datetime as dt

import pytest

from ecrkit.records import CreationTemplate, Repository
from ecrkit.replication import Destination, DestinationFacts, ReplicationConfiguration, ReplicationRule, coverage

HOME = Destination("us-east-1", "123456789012")
AWAY = Destination("eu-west-1", "123456789012")
FAR = Destination("ap-southeast-2", "123456789012")
THEIRS = Destination("eu-west-1", "210987654321")


def repository(name: str, **more) -> Repository:
    made = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    return Repository(name=name, arn="", registry_id="", uri="", created_at=made, **more)


def template(prefix: str, *applied: str, **more) -> CreationTemplate:
    return CreationTemplate(prefix=prefix, applied_for=applied or ("REPLICATION",), **more)


def facts(*repositories: Repository, **more) -> DestinationFacts:
    given = {"templates": (template("ROOT"),), "configuration": ReplicationConfiguration()}
    return DestinationFacts(repositories={r.name: r for r in repositories}, **{**given, **more})


def to(*places: Destination, prefixes=(), **more) -> ReplicationConfiguration:
    return ReplicationConfiguration(rules=[ReplicationRule(destinations=places, prefixes=prefixes, **more)])


def codes(configuration, names, known=None) -> list[str]:
    return [f.code for f in coverage(configuration, names, source=HOME, facts=known).findings]


class TestRoutes:
    def test_what_goes_where(self):
        found = coverage(to(AWAY, FAR, prefixes=["prod/"]), ["prod/app", "dev"], source=HOME)
        assert found.routes == {"prod/app": (AWAY, FAR), "dev": ()}
        assert found.uncovered == ("dev",)
        assert [f.repository for f in found.about("not-covered")] == ["dev"]
        assert "dev" in found.to_table()
        assert "nowhere" in found._repr_html_()

    def test_nothing_in_the_way(self):
        found = coverage(to(AWAY), [repository("app")], source=HOME, facts={AWAY: facts(repository("app"))})
        assert (found.findings, found.ok) == ((), True)

    def test_a_filter_that_selects_nothing(self):
        assert "idle-filter" in codes(to(AWAY, prefixes=["gone/"]), ["app"])

    def test_a_destination_that_nobody_read_is_not_fine(self):
        found = coverage(to(AWAY), ["app"], source=HOME)
        assert [f.code for f in found.findings] == ["unknown-destination"]
        assert not found.ok

    def test_the_source_itself(self):
        assert "invalid-destination" in codes(to(HOME), ["app"])


class TestPermission:
    """Another account's registry policy must allow ReplicateImage, and CreateRepository for new ones."""

    def theirs(self, answers, *repositories):
        return {THEIRS: facts(*repositories, allows=lambda action, name: answers.get((action, name)))}

    def test_refused(self):
        answers = {("ecr:ReplicateImage", "a/1"): False, ("ecr:ReplicateImage", "b/1"): True}
        known = self.theirs(answers, repository("a/1"), repository("b/1"))
        found = coverage(to(THEIRS), ["a/1", "b/1"], source=HOME, facts=known)
        assert [f.code for f in found.findings] == ["no-permission"]
        assert "a/1" in found.findings[0].message
        assert "b/1" not in found.findings[0].message
        assert not found.ok

    def test_may_copy_but_not_create(self):
        answers = {("ecr:ReplicateImage", "app"): True, ("ecr:CreateRepository", "app"): False}
        assert codes(to(THEIRS), ["app"], self.theirs(answers)) == ["cannot-create"]

    def test_unknown_is_told(self):
        known = self.theirs({}, repository("app"))
        assert codes(to(THEIRS), ["app"], known) == ["permission-unknown"]
        assert codes(to(THEIRS), ["app"], {THEIRS: facts(repository("app"))}) == ["permission-unknown"]

    def test_whether_it_may_be_created_is_unknown(self):
        answers = {("ecr:ReplicateImage", "app"): True}
        assert codes(to(THEIRS), ["app"], self.theirs(answers)) == ["permission-unknown"]
        assert codes(to(THEIRS), ["app"], self.theirs(answers, repository("app"))) == []

    def test_within_one_account_nobody_is_asked(self):
        def never(action, name):
            raise AssertionError

        assert codes(to(AWAY), ["app"], {AWAY: facts(repository("app"), allows=never)}) == []


class TestSettings:
    """Settings are not replicated; a template with appliedFor REPLICATION gives them (containers-roadmap#1279, #1690)."""

    def test_no_template(self):
        known = {AWAY: facts(templates=(template("app", "PULL_THROUGH_CACHE"),))}
        assert codes(to(AWAY), ["app/x"], known) == ["default-settings"]

    def test_a_template_that_fits(self):
        known = {AWAY: facts(templates=(template("app"),))}
        assert codes(to(AWAY), ["app/x"], known) == []
        assert codes(to(AWAY), ["apple"], known) == ["default-settings"]

    def test_the_closest_template_counts(self):
        known = {AWAY: facts(templates=(template("ROOT", tag_mutability="IMMUTABLE"), template("app")))}
        assert codes(to(AWAY), ["app/x"], known) == []
        assert codes(to(AWAY), ["other"], known) == ["swallows-tags"]

    def test_unread_templates_and_repositories(self):
        found = coverage(to(AWAY), ["app"], source=HOME, facts={AWAY: facts(templates=None)})
        assert ([f.code for f in found.findings], found.ok) == (["unknown-destination"], False)
        assert codes(to(AWAY), ["app"], {AWAY: DestinationFacts()}) == ["unknown-destination", "unknown-destination"]

    def test_unread_templates_do_not_matter_where_the_repository_is(self):
        assert codes(to(AWAY), ["app"], {AWAY: facts(repository("app"), templates=None)}) == []

    @pytest.mark.parametrize(
        ("origin", "copy", "expected"),
        [
            ("MUTABLE", "IMMUTABLE", ["swallows-tags", "settings-differ"]),
            ("IMMUTABLE", "IMMUTABLE", []),
            ("IMMUTABLE", "MUTABLE", ["settings-differ"]),
            ("MUTABLE", "MUTABLE", []),
        ],
    )
    def test_immutable_tags_there(self, origin, copy, expected):
        known = {AWAY: facts(repository("app", tag_mutability=copy))}
        assert codes(to(AWAY), [repository("app", tag_mutability=origin)], known) == expected

    def test_exclusions_are_part_of_the_mode(self):
        mode = {"tag_mutability": "IMMUTABLE_WITH_EXCLUSION", "mutability_exclusions": ("dev*",)}
        known = {AWAY: facts(repository("app", **mode))}
        assert codes(to(AWAY), [repository("app", **mode)], known) == ["swallows-tags"]
        other = {**mode, "mutability_exclusions": ("qa*",)}
        assert "settings-differ" in codes(to(AWAY), [repository("app", **other)], known)

    def test_without_records_only_the_destination_speaks(self):
        known = {AWAY: facts(repository("app", tag_mutability="IMMUTABLE", encryption_type="KMS"))}
        assert codes(to(AWAY), ["app"], known) == ["swallows-tags"]


class TestChainsAndDeletes:
    """What arrives by replication is not replicated onwards (ECR user guide); deletions may be."""

    def test_a_chain_that_will_not_chain(self):
        known = {AWAY: facts(repository("app"), configuration=to(FAR))}
        found = coverage(to(AWAY), ["app"], source=HOME, facts=known)
        assert [f.code for f in found.findings] == ["no-chain"]
        assert str(FAR) in found.findings[0].message

    def test_onward_rules_that_nobody_read_are_not_fine(self):
        known = {AWAY: facts(repository("app"), configuration=None)}
        found = coverage(to(AWAY), ["app"], source=HOME, facts=known)
        assert ([f.code for f in found.findings], found.ok) == (["unknown-destination"], False)

    def test_a_place_that_the_source_reaches_itself_is_no_chain(self):
        known = {AWAY: facts(repository("app"), configuration=to(FAR)), FAR: facts(repository("app"))}
        assert codes(to(AWAY, FAR), ["app"], known) == []

    def test_the_way_back_is_reported_as_no_chain_only_when_new(self):
        known = {AWAY: facts(repository("app"), configuration=to(FAR, prefixes=["other"]))}
        assert codes(to(AWAY), ["app"], known) == []

    def test_deletions_are_a_danger(self):
        found = coverage(to(AWAY, deletes=True), ["app"], source=HOME, facts={AWAY: facts(repository("app"))})
        assert [f.code for f in found.findings] == ["deletes"]
        assert found.findings[0].severe
        assert "roll back" in found.explain()
