"""`TokenProvider`: one token for each Region and kind of registry, kept fresh for many threads.

Refreshing at half life and living on the stale token while a refresh fails is what the kubelet's plugin and Amazon's
credential helper do.
"""

from __future__ import annotations

import copy
import datetime as dt
import threading
from collections.abc import Callable
from typing import Final, NoReturn

from typing_extensions import override

from ecrkit._internal.times import iso
from ecrkit.auth.tokens import Token, TokenScope
from ecrkit.errors import CredentialsMissing
from ecrkit.ports import Clock
from ecrkit.refs import ImageRef, RegistryHost

__all__ = ["TokenProvider", "TokenSource"]

TokenSource = Callable[[TokenScope], Token]
"""Asks the service for a new token of a scope; a gateway's method, or a test's function."""

_RETRY_AFTER: Final = dt.timedelta(seconds=60)


class _Slot:
    """The token of one scope, and who is refreshing it."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.token: Token | None = None
        self.refreshing = False
        self.rounds = 0  # refreshes that ended, well or badly
        self.failure: Exception | None = None
        self.retry_at: dt.datetime | None = None
        self.forgotten = 0


class TokenProvider:
    """Hands out valid tokens; asks the service when a token is half through its life. Threads may share it.

    However many threads wait for one scope, one of them asks, and the others take its token or its error. While a
    refresh runs or fails, the old token serves until it expires; a failed refresh is tried again after a minute. Tokens
    are held in memory only; printing the provider shows no token, and pickling it is refused.

    Example:
        >>> from ecrkit import Registry
        >>> with Registry.local() as registry:
        ...     tokens = registry.auth.tokens
        ...     first = tokens.token(TokenScope.private(registry.region))
        ...     first is tokens.for_image("123456789012.dkr.ecr.us-east-1.amazonaws.com/team/app:v1")
        True
    """

    def __init__(self, source: TokenSource, *, clock: Clock) -> None:
        self._source = source
        self._clock = clock
        self._lock = threading.Lock()
        self._slots: dict[TokenScope, _Slot] = {}

    def token(self, scope: TokenScope) -> Token:
        """Return a token that is valid now.

        Raises:
            AwsCallFailed: there is no valid token and the service gave none; what the source raised.
            CredentialsMissing: the service gave a token that has expired by this clock, so one of the two is wrong.
        """
        slot = self._slot(scope)
        with slot.changed:
            while True:
                now = self._clock.now()
                token = slot.token if slot.token is not None and slot.token.valid(now) else None
                due = token is None or (
                    now >= token.refresh_at and not (slot.retry_at is not None and now < slot.retry_at)
                )
                if token is not None and (not due or slot.refreshing):
                    return token
                if not slot.refreshing:
                    slot.refreshing = True
                    break
                seen = slot.rounds
                slot.changed.wait_for(lambda: slot.rounds != seen)  # noqa: B023 - waited for within this round
                if slot.failure is not None:
                    # Asking again at once, one waiter after the other, would storm a service in trouble.
                    raise _again(slot.failure)
        return self._refresh(scope, slot, token)

    def _refresh(self, scope: TokenScope, slot: _Slot, stale: Token | None) -> Token:
        made: Token | None = None
        failure: Exception | None = None
        with slot.changed:
            forgotten = slot.forgotten
        try:
            made = self._asked(scope)
        except Exception as error:
            failure = error
            if stale is None:
                raise
        finally:
            # Also after a KeyboardInterrupt: then there is neither token nor failure, and a waiter asks itself.
            with slot.changed:
                now = self._clock.now()
                slot.refreshing = False
                slot.rounds += 1
                slot.failure = failure
                slot.retry_at = None if failure is None else now + _RETRY_AFTER
                if made is not None and slot.forgotten == forgotten:
                    slot.token = made
                slot.changed.notify_all()
        if made is not None:
            return made
        if stale is not None and stale.valid(now) and slot.forgotten == forgotten:
            return stale
        assert failure is not None
        raise failure

    def _asked(self, scope: TokenScope) -> Token:
        made = self._source(scope)
        now = self._clock.now()
        if not made.valid(now):
            raise CredentialsMissing(
                f"the new token for {scope} expired at {iso(made.expires_at)}, and this clock says {iso(now)}; "
                "set the clock right",
                operation="GetAuthorizationToken",
                code="ExpiredToken",
                service="ecr" if scope.kind == "private" else "ecr-public",
            )
        return made

    def for_image(self, target: RegistryHost | ImageRef | str) -> Token:
        """Return a valid token for a registry host, or for an image reference with one.

        Raises:
            InvalidReference: it names no host of ECR.
            AwsCallFailed: as `token`.
        """
        return self.token(TokenScope.of(target))

    def held(self, scope: TokenScope) -> Token | None:
        """Return the token held for a scope if it is valid, without asking the service."""
        token = self._slot(scope).token
        return token if token is not None and token.valid(self._clock.now()) else None

    def last_failure(self, scope: TokenScope) -> Exception | None:
        """Return why the latest refresh failed, or None when it did not; meanwhile the old token may still serve."""
        return self._slot(scope).failure

    def forget(self, scope: TokenScope) -> None:
        """Drop the token, so that the next call asks for a new one: for one that a registry refuses before its time."""
        slot = self._slot(scope)
        with slot.changed:
            slot.token = None
            slot.retry_at = None
            slot.forgotten += 1

    def _slot(self, scope: TokenScope) -> _Slot:
        with self._lock:
            return self._slots.setdefault(scope, _Slot())

    @override
    def __repr__(self) -> str:
        with self._lock:
            held = sorted(str(scope) for scope, slot in self._slots.items() if slot.token is not None)
        return f"<TokenProvider: {', '.join(held) or 'no token yet'}>"

    @override
    def __reduce__(self) -> NoReturn:
        raise TypeError("a TokenProvider holds tokens and cannot be pickled; make one in each process")


def _again(failure: Exception) -> Exception:
    """Return a copy to raise in another thread, since raising writes a traceback into the error."""
    try:
        twin = copy.copy(failure)
    except Exception:  # noqa: BLE001 - an error that cannot be copied is better shared than lost
        return failure
    twin.__cause__ = failure.__cause__
    return twin
