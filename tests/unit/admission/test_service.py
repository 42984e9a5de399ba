"""The verdict service: what is asked, kept, shared and refused."""

from __future__ import annotations

import datetime as dt
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ecrkit.admission import (
    AdmissionProfiles,
    ConditionAnswer,
    Decision,
    Lifetimes,
    NotArchived,
    Question,
    ServiceLimits,
    Signed,
    VerdictService,
    from_answer,
    named_image,
)
from ecrkit.errors import Denied, InvalidInput, InvalidPolicy, Throttled, Unavailable
from ecrkit.local.clock import ManualClock
from ecrkit.records import Referrer
from ecrkit.scanning import Exemptions, Gate, count_limit
from tests.support.admission import CLEAN, DIRTY, HOST, PENDING, PLACE, FakeRegistry, image, profile, report, service


def throttled() -> Throttled:
    return Throttled("Rate exceeded", operation="DescribeImageScanFindings", code="ThrottlingException")


def down() -> Unavailable:
    return Unavailable("no connection", operation="DescribeImages")


class TestVerdicts:
    """A gate's outcome decides; undetermined is a no; the answer names the digest that was judged (facts S46)."""

    @pytest.mark.parametrize(
        ("tag", "outcome", "digest"), [("clean", "pass", CLEAN), ("dirty", "fail", DIRTY), ("pending", "undetermined", PENDING)]
    )  # fmt: skip
    def test_a_tag_is_answered_with_its_digest(self, tag: str, outcome: str, digest: str) -> None:
        with service(FakeRegistry()) as asked:
            found = asked.decide(image(tag), namespace="pay")
        assert (found.outcome, found.allowed, found.digest) == (outcome, outcome == "pass", digest)
        assert (found.image, found.namespace, found.profile) == (image(tag), "pay", "all")
        assert digest in found.message

    def test_a_fail_names_what_is_behind_it(self) -> None:
        with service(FakeRegistry()) as asked:
            found = asked.decide(image("dirty"))
        assert found.vulnerabilities == ("CVE-2026-1", "CVE-2026-2")
        assert found.counts == {"CRITICAL": 2, "LOW": 1}
        assert "CVE-2026-1, CVE-2026-2" in found.message

    def test_many_ids_are_counted(self) -> None:
        registry = FakeRegistry()
        registry.reports[DIRTY] = report(DIRTY, *((f"CVE-2026-{n}", "CRITICAL") for n in range(50)))
        with service(registry) as asked:
            found = asked.decide(image(DIRTY))
        assert (len(found.vulnerabilities), found.vulnerability_count) == (20, 50)
        assert "and 30 more" in found.message

    @pytest.mark.parametrize("reference", [image("gone"), image("sha256:" + "9" * 64)])
    def test_an_image_without_tag_or_scan_is_undetermined(self, reference: str) -> None:
        with service(FakeRegistry()) as asked:
            found = asked.decide(reference)
        assert (found.outcome, found.allowed) == ("undetermined", False)

    def test_no_scan_is_a_setting_of_its_own(self) -> None:
        """An image that was never scanned is neither clean nor vulnerable (harbor#16218, #16732)."""
        registry = FakeRegistry()
        unknown = image("sha256:" + "9" * 64)
        lenient = Gate(count_limit("CRITICAL", 0), accept_undetermined=["scan:missing", "critical"])
        with service(registry, profile(gate=lenient)) as asked:
            assert asked.decide(unknown).allowed
            assert not asked.decide(image("dirty")).allowed

    def test_without_tag_or_digest_it_is_latest(self) -> None:
        registry = FakeRegistry()
        registry.tags["latest"] = CLEAN
        with service(registry) as asked:
            assert asked.decide(f"{HOST}/team/app").digest == CLEAN

    def test_findings_of_libraries_count_beside_those_of_the_system(self) -> None:
        """A provider that reads the first result only sees packages of the system (trivy-provider)."""
        registry = FakeRegistry()
        registry.reports[CLEAN] = report(CLEAN, ("CVE-2026-5", "LOW"), ("GHSA-aaaa-bbbb-cccc", "CRITICAL"))
        with service(registry) as asked:
            assert asked.decide(image(CLEAN)).vulnerabilities == ("GHSA-aaaa-bbbb-cccc",)

    def test_questions_come_back_in_order_each_as_asked(self) -> None:
        asked = [Question(image=image(t), namespace=n) for t in ("dirty", "clean", "dirty") for n in ("a", "b")]
        registry = FakeRegistry()
        with service(registry) as of:
            found = of.decide_all(asked)
        assert [(d.image, d.namespace) for d in found] == [(q.image, q.namespace) for q in asked]
        assert [d.outcome for d in found] == ["fail", "fail", "pass", "pass", "fail", "fail"]
        assert registry.calls.count(("scan", DIRTY)) == 1


class TestProfiles:
    """The namespace chooses the profile; grace and exemptions are the profile's."""

    def test_the_first_that_is_for_the_namespace_decides(self) -> None:
        loose = profile("loose", gate=Gate(count_limit("CRITICAL", 9)), namespaces=["dev-*"])
        with service(FakeRegistry(), loose, profile("strict")) as asked:
            assert asked.decide(image("dirty"), namespace="dev-1").profile == "loose"
            assert not asked.decide(image("dirty"), namespace="prod").allowed
            assert not asked.decide(image("dirty")).allowed
            assert asked.decide(image("dirty"), namespace="prod", profile="loose").allowed

    def test_none_or_an_unknown_one_is_a_no(self) -> None:
        with service(FakeRegistry(), profile(namespaces=["dev"])) as asked:
            for found in (asked.decide(image("clean"), namespace="prod"), asked.decide(image("clean"), profile="x")):
                assert (found.outcome, found.allowed) == ("undetermined", False)

    def test_verdicts_of_two_profiles_on_one_digest_are_kept_apart(self) -> None:
        loose = profile("loose", gate=Gate(count_limit("CRITICAL", 9)), namespaces=["dev"])
        with service(FakeRegistry(), loose, profile("strict")) as asked:
            for _ in range(2):
                assert asked.decide(image(DIRTY), namespace="dev").allowed
                assert not asked.decide(image(DIRTY), namespace="prod").allowed

    def test_exemptions_of_the_profile(self) -> None:
        excused = Exemptions.parse(
            {"exemptions": [{"id": ["CVE-2026-1", "CVE-2026-2"], "reason": "unused", "expires": "2027-01-01"}]}
        )
        with service(FakeRegistry(), profile(exemptions=excused, namespaces=["a"]), profile("rest")) as asked:
            assert asked.decide(image("dirty"), namespace="a").allowed
            assert not asked.decide(image("dirty"), namespace="b").allowed

    def test_repositories_choose_too_but_never_for_other_registries(self) -> None:
        own = profile("own", repositories=["team/*"], outside="allow")
        with service(FakeRegistry(), own, profile("rest")) as asked:
            assert asked.decide(image("clean")).profile == "own"
            assert asked.decide("docker.io/team/app:1").profile == "rest"

    def test_names_are_unique_and_there_is_one(self) -> None:
        with pytest.raises(InvalidPolicy, match="at least one"):
            AdmissionProfiles([])
        with pytest.raises(InvalidPolicy, match="two profiles"):
            AdmissionProfiles([profile("a"), profile("a")])


class TestOtherRegistries:
    """Images of other registries by explicit policy: deny, allow, skip (facts S46)."""

    OTHERS = (
        "nginx", "nginx:1.27", "docker.io/library/nginx", "public.ecr.aws/x/y:1", "localhost:5000/a",
        "222222222222.dkr.ecr.us-east-1.amazonaws.com/team/app:v1",
        "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/app:v1",
        "123456789012.dkr.ecr.us-east-1.amazonaws.com.evil.example/team/app:clean",
    )  # fmt: skip

    @pytest.mark.parametrize("reference", OTHERS)
    @pytest.mark.parametrize(
        ("policy", "outcome"), [("deny", "fail"), ("allow", "pass"), ("skip", "skipped")]
    )  # fmt: skip
    def test_policy(self, reference: str, policy: Any, outcome: str) -> None:
        registry = FakeRegistry()
        with service(registry, profile(outside=policy)) as asked:
            found = asked.decide(reference)
        assert (found.outcome, found.allowed, found.answered) == (outcome, policy != "deny", "policy")
        assert registry.calls == []

    @pytest.mark.parametrize(
        "reference",
        [
            "", " ", "x" * 2000, "UPPER", "a b", "nginx:", "nginx@sha256:1", "https://docker.io/nginx", "a//b", "ngınx",
            f"{HOST}/", f"{HOST}/team/app:", f"{HOST}/Team/app:v1", f"{HOST.upper()}/team/app:clean",
            f"{HOST}:443/team/app:clean", f"{HOST}./team/app:clean", f"{HOST}/team/app@sha256:zz", "nginx\n",
            "123456789012.DKR.ecr.us-east-1.amazonaws.com/team/app:clean", f"{HOST}:/team/app:clean",
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("policy", ["deny", "allow", "skip"])
    def test_no_reference_is_refused_whatever_the_policy(self, reference: str, policy: Any) -> None:
        """A host in another spelling names the same registry to a runtime: it is no image of another one."""
        with service(FakeRegistry(), profile(outside=policy)) as asked:
            found = asked.decide(reference)
        assert (found.outcome, found.allowed) == ("undetermined", False)

    @pytest.mark.parametrize(
        "host", ["123456789012.dkr-ecr.us-east-1.on.aws", "123456789012.dkr.ecr-fips.us-east-1.amazonaws.com"]
    )
    def test_every_documented_host_of_the_registry_is_judged(self, host: str) -> None:
        with service(FakeRegistry(), profile(outside="allow")) as asked:
            assert not asked.decide(f"{host}/team/app:dirty").allowed

    def test_other_digest_algorithms_are_elsewhere_or_malformed(self) -> None:
        assert named_image("ghcr.io/a/b@sha512:" + "a" * 128).kind == "elsewhere"
        assert named_image(f"{HOST}/a/b@sha512:" + "a" * 128).kind == "malformed"


class TestHostileNames:
    """The grammar is matched in linear time, or nearly: a name of 1,000 characters costs no more than milliseconds."""

    @pytest.mark.parametrize("part", ["a", "a-", "a.", "a/", "a_", "A", "a:", "@a", "a--", "."])
    @pytest.mark.parametrize("end", ["!", "/!", "@sha256:!"])
    def test_long_names(self, part: str, end: str) -> None:
        for text in (part * (1000 // len(part)) + end, "h.example/" + part * (1000 // len(part) - 10) + end):
            assert named_image(text).kind == "malformed"


class TestCache:
    """Separate lifetimes for pass, fail and undetermined; a tag's digest has one too; memory is bounded."""

    @pytest.mark.parametrize(("digest", "seconds"), [(CLEAN, 300.0), (DIRTY, 60.0), (PENDING, 10.0)])
    def test_lifetimes(self, digest: str, seconds: float) -> None:
        registry, clock = FakeRegistry(), ManualClock()
        with service(registry, clock=clock) as asked:
            assert asked.decide(image(digest)).answered == "registry"
            clock.sleep(seconds - 0.001)
            assert asked.decide(image(digest)).answered == "cache"
            assert len(registry.calls) == 1
            clock.sleep(0.001)
            assert asked.decide(image(digest)).answered == "registry"
            assert len(registry.calls) == 2

    def test_a_moved_tag_is_seen_once_its_lifetime_is_over(self) -> None:
        registry, clock = FakeRegistry(), ManualClock()
        with service(registry, clock=clock, lifetimes=Lifetimes(tag_seconds=5)) as asked:
            assert asked.decide(image("clean")).allowed
            registry.tags["clean"] = DIRTY
            clock.sleep(5)
            assert asked.decide(image("clean")).digest == DIRTY

    def test_a_tag_is_asked_each_time_with_no_lifetime(self) -> None:
        registry = FakeRegistry()
        with service(registry, lifetimes=Lifetimes(tag_seconds=0)) as asked:
            asked.decide(image("clean"))
            registry.tags["clean"] = DIRTY
            assert not asked.decide(image("clean")).allowed
        assert registry.calls == [("tag", "clean"), ("scan", CLEAN), ("tag", "clean"), ("scan", DIRTY)]

    def test_two_tags_of_one_image_share_its_verdict(self) -> None:
        registry = FakeRegistry()
        registry.tags["same"] = CLEAN
        with service(registry) as asked:
            asked.decide(image("clean"))
            asked.decide(image("same"))
        assert registry.calls.count(("scan", CLEAN)) == 1

    def test_entries_are_bounded_and_the_least_recently_used_goes(self) -> None:
        registry = FakeRegistry()
        digests = ["sha256:" + f"{n:064x}" for n in range(40)]
        with service(registry, limits=ServiceLimits(entries=10)) as asked:
            for digest in digests:
                asked.decide(image(CLEAN))
                asked.decide(image(digest))
                assert asked.entries <= 10
            assert asked.decide(image(digests[-1])).answered == "cache"
            assert asked.decide(image(digests[0])).answered == "registry"
        assert registry.calls.count(("scan", CLEAN)) == 1

    def test_forget(self) -> None:
        registry = FakeRegistry()
        with service(registry) as asked:
            asked.decide(image("clean"))
            asked.forget()
            assert asked.decide(image("clean")).answered == "registry"


class TestFaults:
    """Throttling and outages are undetermined, within the caller's deadline; stale verdicts only when asked for."""

    @pytest.mark.parametrize(
        "fault", [throttled, down, lambda: Denied("no", operation="x"), lambda: KeyError("x"), RecursionError]
    )
    def test_a_fault_is_a_no(self, fault: Any) -> None:
        registry = FakeRegistry()
        registry.fault = fault
        with service(registry) as asked:
            for reference in (image("clean"), image(CLEAN)):
                found = asked.decide(reference)
                assert (found.outcome, found.allowed) == ("undetermined", False)

    def test_the_text_of_a_foreign_fault_is_not_told(self) -> None:
        registry = FakeRegistry()
        registry.fault = lambda: RuntimeError("AKIAIOSFODNN7EXAMPLE")
        with service(registry) as asked:
            assert "AKIA" not in asked.decide(image(CLEAN)).message

    def test_an_expired_pass_is_not_used_unless_asked_for(self) -> None:
        registry, clock = FakeRegistry(), ManualClock()
        with service(registry, clock=clock) as asked:
            asked.decide(image("clean"))
            clock.sleep(301)
            registry.fault = down
            assert not asked.decide(image("clean")).allowed

    @pytest.mark.parametrize("reference", ["clean", CLEAN])
    def test_stale_while_error(self, reference: str) -> None:
        registry, clock = FakeRegistry(), ManualClock()
        times = Lifetimes(stale_while_error_seconds=600, tag_seconds=300)
        with service(registry, clock=clock, lifetimes=times) as asked:
            asked.decide(image(reference))
            clock.sleep(300)
            registry.fault = throttled
            for _ in range(2):  # the second time the error itself is kept
                found = asked.decide(image(reference))
                assert (found.allowed, found.answered, found.digest) == (True, "stale", CLEAN)
            clock.sleep(600)
            assert not asked.decide(image(reference)).allowed

    def test_a_stale_fail_stays_a_fail(self) -> None:
        registry, clock = FakeRegistry(), ManualClock()
        with service(registry, clock=clock, lifetimes=Lifetimes(stale_while_error_seconds=600)) as asked:
            asked.decide(image(DIRTY))
            clock.sleep(61)
            registry.fault = down
            assert asked.decide(image(DIRTY)).outcome == "fail"

    def test_a_refusal_by_ecr_is_no_outage(self) -> None:
        """Lost permissions or a deleted image must not be bridged by an old pass."""
        registry, clock = FakeRegistry(), ManualClock()
        with service(registry, clock=clock, lifetimes=Lifetimes(stale_while_error_seconds=600)) as asked:
            asked.decide(image(CLEAN))
            clock.sleep(301)
            registry.fault = lambda: Denied("no", operation="x")
            assert not asked.decide(image(CLEAN)).allowed

    def test_a_slow_registry_is_undetermined_at_the_deadline_and_known_afterwards(self) -> None:
        registry = FakeRegistry()
        registry.hold = threading.Event()
        with service(registry) as asked:
            found = asked.decide(image(CLEAN), deadline=0.0)
            assert (found.outcome, found.allowed, found.transient) == ("undetermined", False, True)
            registry.hold.set()
            assert asked.decide(image(CLEAN)).allowed
        assert registry.calls == [("scan", CLEAN)]

    def test_what_does_not_fit_the_queue_is_refused_at_once(self) -> None:
        registry = FakeRegistry()
        registry.hold = threading.Event()
        with service(registry, limits=ServiceLimits(workers=1, queue=1)) as asked:
            wanted = [Question(image=image("sha256:" + f"{n:064x}")) for n in range(5)]
            found = asked.decide_all(wanted, deadline=0.0)
            told = [d.reason for d in found]
            assert [("too many" in r) for r in told] == [False, False, True, True, True]
            assert not any(d.allowed for d in found)
            registry.hold.set()
        assert len(registry.calls) <= 2

    def test_a_closed_service_says_no(self) -> None:
        asked = service(FakeRegistry())
        asked.close()
        assert not asked.decide(image("clean")).allowed


class TestSingleFlight:
    """Concurrent requests for one image make one ECR call."""

    def test_many_callers_one_call(self) -> None:
        registry = FakeRegistry()
        registry.hold = threading.Event()
        loose = profile("loose", namespaces=["dev"])
        with service(registry, loose, profile("rest")) as asked, ThreadPoolExecutor(24) as callers:
            work = [callers.submit(asked.decide, image(CLEAN), namespace="dev") for n in range(12)]
            assert registry.entered.wait(10)
            (reading,) = asked._reading._under_way.values()
            joined, result = threading.Event(), reading.result

            def waited_for(timeout: float | None = None) -> Any:
                joined.set()
                return result(timeout)

            reading.result = waited_for  # type: ignore[method-assign]
            work += [callers.submit(asked.decide, image(CLEAN), namespace="x") for n in range(12)]
            # The other profile's question waits for the same reading before it may end.
            assert joined.wait(10)
            registry.hold.set()
            assert all(w.result().allowed for w in work)
        assert registry.calls == [("scan", CLEAN)]

    def test_a_fault_reaches_all_callers_and_is_not_kept_as_work(self) -> None:
        registry = FakeRegistry()
        registry.hold, registry.fault = threading.Event(), throttled
        with service(registry, lifetimes=Lifetimes(undetermined_seconds=0)) as asked, ThreadPoolExecutor(4) as callers:
            work = [callers.submit(asked.decide, image(CLEAN)) for _ in range(4)]
            assert registry.entered.wait(10)
            registry.hold.set()
            assert not any(w.result().allowed for w in work)
            registry.fault = None
            assert asked.decide(image(CLEAN)).allowed


class TestConditions:
    """Further conditions: the worst of gate and conditions; a condition that breaks has not said yes."""

    @pytest.mark.parametrize(
        ("told", "outcome"), [(True, "pass"), (False, "fail"), (None, "undetermined"), (1, "undetermined")]
    )
    def test_third_answer(self, told: Any, outcome: str) -> None:
        fresh = from_answer("base-fresh", lambda repository, digest: told)
        with service(FakeRegistry(), profile(conditions=["base-fresh"]), conditions=[fresh]) as asked:
            found = asked.decide(image("clean"))
        assert (found.outcome, found.allowed) == (outcome, outcome == "pass")
        assert ("base-fresh" in found.reason) is (outcome != "pass")

    def test_a_condition_that_breaks(self) -> None:
        def broken(repository: str, digest: str) -> bool:
            raise ZeroDivisionError

        with service(FakeRegistry(), profile(conditions=["x"]), conditions=[from_answer("x", broken)]) as asked:
            assert asked.decide(image("clean")).outcome == "undetermined"

    def test_a_condition_that_nobody_gave(self) -> None:
        with pytest.raises(InvalidInput, match="signed"):
            service(FakeRegistry(), profile(conditions=["signed"]))

    @pytest.mark.parametrize(
        ("kind", "status", "annotations", "outcome"),
        [
            ("application/vnd.cncf.notary.signature", "ACTIVE", {}, "pass"),
            ("application/vnd.cncf.notary.signature", "ARCHIVED", {}, "fail"),
            ("application/spdx+json", "ACTIVE", {}, "fail"),
            # BUNDLE_SPEC.md: annotations "may" be there, so a bundle without them may be a signature.
            ("application/vnd.dev.sigstore.bundle.v0.3+json", "ACTIVE", {}, "undetermined"),
            ("application/vnd.dev.sigstore.bundle.v0.3+json", "ARCHIVED", {}, "fail"),
            ("application/vnd.dev.sigstore.bundles", "ACTIVE",
             {"dev.sigstore.bundle.content": "message-signature"}, "fail"),
            ("application/vnd.dev.sigstore.bundle+json;version=0.2", "ACTIVE",
             {"dev.sigstore.bundle.content": "message-signature"}, "pass"),
            ("application/vnd.dev.sigstore.bundle.v0.3+json", "ACTIVE",
             {"dev.sigstore.bundle.predicateType": "https://sigstore.dev/cosign/sign/v1"}, "pass"),
            ("application/vnd.dev.sigstore.bundle.v0.3+json", "ACTIVE",
             {"dev.sigstore.bundle.predicateType": "https://slsa.dev/provenance/v1"}, "fail"),
        ],
    )  # fmt: skip
    def test_signed(self, kind: str, status: str, annotations: dict[str, str], outcome: str) -> None:
        found = Referrer(
            digest=DIRTY, media_type="m", size=1, artifact_type=kind, annotations=annotations, status=status
        )
        assert Signed(lambda repository, digest: [found])("team/app", CLEAN).outcome == outcome

    @pytest.mark.parametrize(
        ("status", "outcome"),
        [("ACTIVE", "pass"), ("ARCHIVED", "fail"), ("ACTIVATING", "undetermined"), ("NEW", "undetermined")],
    )
    def test_not_archived(self, status: str, outcome: str) -> None:
        class Stored:
            pass

        stored: Any = Stored()
        stored.status = status
        answer = NotArchived(lambda repository, digest: stored)("team/app", CLEAN)
        assert isinstance(answer, ConditionAnswer)
        assert answer.outcome == outcome


class TestAudit:
    """Audit admits, and tells and records what would have been denied."""

    @pytest.mark.parametrize("where", ["service", "profile"])
    @pytest.mark.parametrize("reference", [image("dirty"), image("pending"), "nginx", "not an image"])
    def test_admits_and_tells(self, where: str, reference: str) -> None:
        seen: list[Decision] = []
        mode: Any = {"mode": "audit"} if where == "service" else {}
        one = profile(mode="audit") if where == "profile" else profile()
        with service(FakeRegistry(), one, observers=[lambda d, _: seen.append(d)], **mode) as asked:
            found = asked.decide(reference)
            fine = asked.decide(image("clean"))
        assert (found.allowed, found.would_deny) == (True, True)
        assert found.outcome != "pass"
        assert (fine.allowed, fine.would_deny) == (True, False)
        assert seen == [found, fine]


class TestArguments:
    """Faulty settings are refused with all problems."""

    def test_lifetimes_and_limits(self) -> None:
        with pytest.raises(InvalidInput) as fault:
            Lifetimes(pass_seconds=-1, fail_seconds=float("nan"))
        assert [p.path for p in fault.value.problems] == ["$.pass_seconds", "$.fail_seconds"]
        with pytest.raises(InvalidInput) as fault:
            ServiceLimits(entries=0, workers=0, queue=-1)
        assert len(fault.value.problems) == 3

    @pytest.mark.parametrize("deadline", [0, -1, float("nan"), True])
    def test_deadline(self, deadline: float) -> None:
        with pytest.raises(InvalidInput, match="deadline"):
            VerdictService(profiles=AdmissionProfiles(profile()), registries={PLACE: FakeRegistry()}, deadline=deadline)

    def test_time_comes_from_the_clock(self) -> None:
        """An exemption ends by the service's clock, and a kept verdict does not outlive its lifetime."""
        clock = ManualClock(dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
        entry = {"id": ["CVE-2026-1", "CVE-2026-2"], "reason": "unused", "expires": "2026-01-02"}
        excused = Exemptions.parse({"exemptions": [entry]})
        with service(FakeRegistry(), profile(exemptions=excused), clock=clock) as asked:
            assert asked.decide(image("dirty")).allowed
            clock.advance(dt.timedelta(days=3))
            assert not asked.decide(image("dirty")).allowed
