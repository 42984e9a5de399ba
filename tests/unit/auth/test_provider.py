"""One fresh token for many threads."""

from __future__ import annotations

import datetime as dt
import threading

import pytest

from ecrkit.auth import TokenProvider, TokenScope
from ecrkit.errors import CredentialsMissing, Denied, Unavailable
from ecrkit.local import ManualClock
from tests.support.tokens import make_token

HERE = TokenScope.private("eu-west-1")
HOUR = dt.timedelta(hours=1)


class Service:
    """Issues numbered tokens on a clock, or fails as told."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.asked: list[TokenScope] = []
        self.error: BaseException | None = None
        self.hours: float = 12
        self.gate: threading.Event | None = None
        self.entered = threading.Event()

    def __call__(self, scope: TokenScope):
        self.asked.append(scope)
        gate = self.gate
        self.entered.set()
        if gate is not None:
            assert gate.wait(20)
        if self.error is not None:
            raise self.error
        region = None if scope.kind == "public" else scope.region
        return make_token(region, password=f"p{len(self.asked)}", at=self.clock.now(), hours=self.hours)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def service(clock) -> Service:
    return Service(clock)


@pytest.fixture
def provider(service, clock) -> TokenProvider:
    return TokenProvider(service, clock=clock)


def failing() -> Unavailable:
    return Unavailable("down", operation="GetAuthorizationToken", code="500")


class TestCache:
    """Cached for each Region and kind of registry, and refreshed at half life."""

    def test_one_call_until_half_life(self, provider, service, clock):
        first = provider.token(HERE)
        clock.advance(6 * HOUR - dt.timedelta(seconds=1))
        assert provider.token(HERE) is first
        clock.advance(dt.timedelta(seconds=1))
        assert provider.token(HERE).password.reveal() == "p2"
        assert len(service.asked) == 2

    def test_regions_and_kinds_are_apart(self, provider, service):
        public, virginia = TokenScope.public(), TokenScope.private("us-east-1")
        held = {provider.token(s).password.reveal() for s in (HERE, public, virginia) for _ in range(2)}
        assert held == {"p1", "p2", "p3"} and service.asked == [HERE, public, virginia]

    def test_for_image_takes_the_host_form_as_it_is(self, provider, service):
        first = provider.for_image("123456789012.dkr.ecr.us-west-2.amazonaws.com/app:v1")
        assert provider.for_image("210987654321.dkr-ecr-fips.us-west-2.on.aws") is first
        assert provider.for_image("ecr-public.aws.com/eks/pause") is provider.for_image("public.ecr.aws")

    def test_forget_asks_again(self, provider, service):
        first = provider.token(HERE)
        provider.forget(HERE)
        assert provider.held(HERE) is None and provider.token(HERE) is not first

    def test_held_never_asks(self, provider, service, clock):
        assert provider.held(HERE) is None and service.asked == []
        token = provider.token(HERE)
        assert provider.held(HERE) is token
        clock.advance(12 * HOUR)
        assert provider.held(HERE) is None


class TestFailures:
    """A stale token is kept while a refresh fails and it is still valid; after that the error comes out."""

    def test_the_old_token_serves_until_it_expires(self, provider, service, clock):
        first = provider.token(HERE)
        service.error = failing()
        clock.advance(7 * HOUR)
        assert provider.token(HERE) is first
        assert provider.last_failure(HERE) is service.error
        clock.advance(5 * HOUR)
        with pytest.raises(Unavailable):
            provider.token(HERE)

    def test_a_failed_refresh_is_tried_again_after_a_minute(self, provider, service, clock):
        provider.token(HERE)
        service.error = failing()
        clock.advance(7 * HOUR)
        for _ in range(50):
            provider.token(HERE)
        assert len(service.asked) == 2
        clock.advance(dt.timedelta(seconds=60))
        service.error = None
        assert provider.token(HERE).password.reveal() == "p3"
        assert provider.last_failure(HERE) is None

    def test_an_expired_token_does_not_wait_for_the_minute(self, provider, service, clock):
        provider.token(HERE)
        service.error = failing()
        clock.advance(12 * HOUR - dt.timedelta(seconds=10))
        provider.token(HERE)
        clock.advance(dt.timedelta(seconds=10))
        service.error = None
        assert provider.token(HERE).password.reveal() == "p3"

    def test_without_a_token_the_error_comes_out(self, provider, service):
        service.error = Denied("no", operation="GetAuthorizationToken", code="AccessDeniedException")
        with pytest.raises(Denied):
            provider.token(HERE)
        service.error = None
        assert provider.token(HERE).password.reveal() == "p2"

    def test_a_forgotten_token_does_not_come_back_when_the_refresh_fails(self, provider, service, clock):
        provider.token(HERE)
        provider.forget(HERE)
        service.error = failing()
        with pytest.raises(Unavailable):
            provider.token(HERE)

    @pytest.mark.parametrize("fails", [True, False])
    def test_a_token_forgotten_while_it_is_renewed(self, service, clock, fails):
        def source(scope):
            if service.asked:
                provider.forget(scope)
                if fails:
                    service.error = failing()
            return service(scope)

        provider = TokenProvider(source, clock=clock)
        provider.token(HERE)
        clock.advance(7 * HOUR)
        if fails:
            with pytest.raises(Unavailable):
                provider.token(HERE)
        else:
            assert provider.token(HERE).password.reveal() == "p2"
        assert provider.held(HERE) is None

    def test_a_new_token_that_has_expired_says_that_a_clock_is_wrong(self, provider, service):
        service.hours = -1
        with pytest.raises(CredentialsMissing, match="set the clock right"):
            provider.token(HERE)

    def test_an_interrupt_frees_the_slot(self, provider, service):
        service.error = KeyboardInterrupt()
        with pytest.raises(KeyboardInterrupt):
            provider.token(HERE)
        service.error = None
        assert provider.token(HERE).password.reveal() == "p2"


class TestThreads:
    """One refresh for many waiters."""

    def run(self, provider, service, count=16):
        results: list[object] = []

        def ask() -> None:
            try:
                results.append(provider.token(HERE))
            except Unavailable as error:
                results.append(error)

        threads = [threading.Thread(target=ask) for _ in range(count)]
        service.gate = threading.Event()
        threads[0].start()
        assert service.entered.wait(20)
        for thread in threads[1:]:
            thread.start()
        slot = provider._slot(HERE)
        # Every other thread is in the condition before the one that asks gets its answer.
        while slot.token is None and len(slot.changed._waiters) < count - 1:
            pass
        service.gate.set()
        for thread in threads:
            thread.join(20)
            assert not thread.is_alive()
        return results

    def test_all_get_the_same_token(self, provider, service):
        results = self.run(provider, service)
        assert len(results) == 16 and len({id(r) for r in results}) == 1 and len(service.asked) == 1

    def test_all_get_the_error_of_the_one_that_asked(self, provider, service):
        service.error = failing()
        results = self.run(provider, service)
        assert len(results) == 16 and all(isinstance(r, Unavailable) for r in results)
        assert len(service.asked) == 1
        assert len({id(r) for r in results}) == 16, "each thread raises a copy of its own"

    def test_nobody_waits_while_the_old_token_is_valid(self, provider, service, clock):
        old = provider.token(HERE)
        clock.advance(7 * HOUR)
        service.entered.clear()
        service.gate = threading.Event()
        thread = threading.Thread(target=provider.token, args=(HERE,))
        thread.start()
        assert service.entered.wait(20)
        assert provider.token(HERE) is old
        service.gate.set()
        thread.join(20)
        assert provider.token(HERE) is not old and len(service.asked) == 2

    def test_scopes_do_not_wait_for_each_other(self, provider, service):
        service.gate = threading.Event()
        thread = threading.Thread(target=provider.token, args=(HERE,))
        thread.start()
        assert service.entered.wait(20)
        gate, service.gate = service.gate, None
        assert provider.token(TokenScope.public()).scope.kind == "public"
        gate.set()
        thread.join(20)
