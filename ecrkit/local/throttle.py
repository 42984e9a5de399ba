"""Fault injection: a token bucket that refuses calls as ECR does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from ecrkit._internal.clock import SystemClock
from ecrkit.local.events import Call
from ecrkit.local.faults import refuse
from ecrkit.ports import Clock

__all__ = ["throttle"]


def throttle(
    rate_per_second: float, burst: int, *, operations: Iterable[str] | None = None, clock: Clock | None = None
) -> Callable[[Call], None]:
    """Return a hook for `Engine.before_call` that throttles per operation, account and region.

    Each bucket holds `burst` calls and gains `rate_per_second` a second; an empty one refuses with
    ThrottlingException, `Rate exceeded`. `clock` is the machine's unless given: pass `engine.clock` to throttle in
    the engine's time. `operations` limits the hook to those names.

    Example:
        >>> from ecrkit.local import Engine, ServiceFault
        >>> engine = Engine()
        >>> engine.before_call.append(throttle(1, 1, clock=engine.clock))
        >>> engine.call("DescribeRepositories", {})
        {'repositories': []}
        >>> try:
        ...     engine.call("DescribeRepositories", {})
        ... except ServiceFault as fault:
        ...     print(fault)
        ThrottlingException: Rate exceeded
    """
    if rate_per_second <= 0 or burst < 1:
        raise ValueError("a bucket needs a positive rate and room for at least one call")
    only = None if operations is None else frozenset(operations)
    time_source = clock or SystemClock()
    buckets: dict[tuple[str, str, str], tuple[float, float]] = {}
    lock = threading.Lock()

    def hook(call: Call) -> None:
        if only is not None and call.operation not in only:
            return
        key = (call.operation, call.account, call.region)
        with lock:
            now = time_source.monotonic()
            level, then = buckets.get(key, (float(burst), now))
            level = min(float(burst), level + (now - then) * rate_per_second)
            allowed = level >= 1
            buckets[key] = (level - 1 if allowed else level, now)
        if not allowed:
            refuse("ThrottlingException", "Rate exceeded")

    return hook
