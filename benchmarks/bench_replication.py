"""Replication: waiting on five Regions, against a loop that asks every Region for the tag every ten seconds.

Both run on the embedded ECR's clock, so that hours pass in moments. Prints calls made and how long after the last
arrival the wait was over, as ratios of one run. The loop looks for a tag alone: it also ends on an old image.
"""

from __future__ import annotations

import datetime as dt
import random

import attrs
from botocore.exceptions import ClientError

from ecrkit import Registry
from ecrkit._internal.tables import text_table
from ecrkit.local import Engine, client
from ecrkit.local.images import filler, image, index, layer

REGIONS = ("eu-west-1", "eu-west-2", "eu-central-1", "ap-southeast-2", "sa-east-1")
SCALES = (5, 30, 120, 600, 1800)
ROUNDS = 6
PERIOD = 10.0


def world(scale: float, seed: int) -> Engine:
    """Return an engine that has just got an image of two platforms; arrivals are spread around `scale` seconds."""
    engine = Engine()
    places = [{"region": region, "registryId": engine.account} for region in REGIONS]
    rules = [{"destinations": places}]
    engine.call("PutReplicationConfiguration", {"replicationConfiguration": {"rules": rules}})
    engine.call("CreateRepository", {"repositoryName": "team/app"})
    draw = random.Random(seed)
    for region in REGIONS:
        engine.replication.delay(dt.timedelta(seconds=scale * draw.lognormvariate(0, 0.4)), region=region)
    built = index(
        image([filler(4096, seed="base"), layer({"app": p})], platform=p) for p in ("linux/amd64", "linux/arm64")
    )
    built.push(engine, "team/app", "v1")
    return engine


def arrivals(engine: Engine) -> dict[str, dt.datetime]:
    """Return when the tag arrived in each Region."""
    found = {}
    for region in REGIONS:
        detail = engine.call(
            "DescribeImages", {"repositoryName": "team/app", "imageIds": [{"imageTag": "v1"}]}, region=region
        )["imageDetails"][0]
        found[region] = detail["imagePushedAt"]
    return found


def by_waiter(engine: Engine, seed: int) -> tuple[int, dict[str, dt.datetime]]:
    """Return calls and times of detection of `registry.replication.wait`."""
    with Registry.local(engine, workers=1) as registry:
        before, began = len(engine.calls), engine.clock.now()
        service = attrs.evolve(registry.replication, draw=random.Random(seed).random)
        result = service.wait("team/app:v1", timeout=6 * 3600).require()
        calls = len(engine.calls) - before
    return calls, {d.destination.region: began + d.waited for d in result.destinations}


def by_loop(engine: Engine) -> tuple[int, dict[str, dt.datetime]]:
    """Return calls and times of detection of the loop."""
    clients = {region: client(engine, region=region) for region in REGIONS}
    before = len(engine.calls)
    seen: dict[str, dt.datetime] = {}
    while len(seen) < len(REGIONS):
        for region in REGIONS:
            if region in seen:
                continue
            try:
                clients[region].describe_images(repositoryName="team/app", imageIds=[{"imageTag": "v1"}])
            except ClientError:
                continue
            seen[region] = engine.clock.now()
        engine.clock.sleep(PERIOD)
    return len(engine.calls) - before, seen


def delays(seen: dict[str, dt.datetime], there: dict[str, dt.datetime]) -> list[float]:
    """Return the seconds from each arrival to its detection."""
    return [(seen[region] - there[region]).total_seconds() for region in REGIONS]


def main() -> None:
    """Compare both over several lags."""
    rows = []
    for scale in SCALES:
        ours, theirs = [], []
        our_delays: list[float] = []
        their_delays: list[float] = []
        for seed in range(ROUNDS):
            engine = world(scale, seed)
            calls, seen = by_waiter(engine, seed)
            ours.append(calls)
            our_delays += delays(seen, arrivals(engine))
            engine = world(scale, seed)
            calls, seen = by_loop(engine)
            theirs.append(calls)
            their_delays += delays(seen, arrivals(engine))
        mean, their_mean = sum(our_delays) / len(our_delays), sum(their_delays) / len(their_delays)
        rows.append(
            (
                f"{scale} s", f"{sum(ours) / ROUNDS:.0f}", f"{sum(theirs) / ROUNDS:.0f}",
                f"{sum(theirs) / sum(ours):.1f}x", f"{mean:.1f} s", f"{their_mean:.1f} s", f"{mean / scale:.0%}",
            )
        )  # fmt: skip
    header = ("lag about", "calls", "calls of the loop", "fewer", "noticed after", "loop noticed after", "of the lag")
    print(text_table(header, rows, right=frozenset(range(1, 7))))


if __name__ == "__main__":
    main()
