"""Ten rules over 100,000 images: ecrkit, the plain per-rule fnmatch way, and DuckDB on the same records.

All answer which images a rule acts on, and must agree. The plain way is `fnmatch.fnmatch` as scripts call it; beside it
stands `fnmatchcase`, which skips the normalisation of case. ecrkit gets an inventory that nobody has asked anything, as
the others get a list; `again` is a second policy on the same inventory, whose columns are there already. Run as
`python -m benchmarks.bench_lifecycle`.
"""

from __future__ import annotations

import datetime as dt
import gc
import json
import random
import time
from collections.abc import Callable, Iterator
from fnmatch import fnmatch, fnmatchcase
from functools import lru_cache, partial

from ecrkit.images import Inventory
from ecrkit.lifecycle import LifecyclePolicy, simulate
from ecrkit.lifecycle.glob import compile_glob
from ecrkit.records import Image

NOW = dt.datetime(2026, 11, 25, tzinfo=dt.UTC)
COUNT = 100_000
ROUNDS = 5


def inventory() -> Inventory:
    rng = random.Random(7)
    images = []
    for n in range(COUNT):
        kind = rng.choice(["dev", "test", "prod", "release", "pr", "main", "sha"])
        # As pipelines leave them: a sixth untagged, the others with a branch, a version, a commit, or several of these.
        names = (f"{kind}-{n}", f"v{n % 40}.{n % 7}.{n}", f"sha-{rng.getrandbits(28):07x}")
        tags = () if rng.random() < 1 / 6 else tuple(rng.sample(names, rng.randint(1, 3)))
        pushed = NOW - dt.timedelta(seconds=rng.randrange(200 * 86400) + n / COUNT)
        images.append(Image(digest=f"sha256:{rng.getrandbits(256):064x}", pushed_at=pushed, tags=tags))
    return Inventory(images)


def policy() -> LifecyclePolicy:
    selections = [
        {"tagPatternList": ["prod-*"], "countType": "imageCountMoreThan", "countNumber": 500},
        {"tagPatternList": ["release-*"], "countType": "imageCountMoreThan", "countNumber": 300},
        {"tagPatternList": ["*main*"], "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 60},
        {"tagPatternList": ["pr-*"], "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 14},
        {"tagPatternList": ["v1.*"], "countType": "imageCountMoreThan", "countNumber": 100},
        {"tagPatternList": ["dev-*", "v*.3.*"], "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 7},
        {"tagPatternList": ["*-1*5*"], "countType": "imageCountMoreThan", "countNumber": 50},
        {"tagPatternList": ["sha-*7"], "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 30},
        {"countType": "sinceImagePushed", "countUnit": "days", "countNumber": 3},
        {"countType": "imageCountMoreThan", "countNumber": 20_000},
    ]
    status = ["tagged"] * 8 + ["untagged", "any"]
    return LifecyclePolicy.parse(
        {
            "rules": [
                {"rulePriority": n, "selection": {"tagStatus": s, **sel}, "action": {"type": "expire"}}
                for n, (s, sel) in enumerate(zip(status, selections, strict=True), 1)
            ]
        }
    )


def with_ecrkit(fresh: Iterator[Inventory], _: tuple[Image, ...], rules: LifecyclePolicy) -> tuple[str, ...]:
    return simulate(rules, next(fresh), now=NOW).expired


def again(images: tuple[Image, ...], rules: LifecyclePolicy) -> tuple[str, ...]:
    return simulate(rules, _known(images), now=NOW).expired


@lru_cache(maxsize=1)
def _known(images: tuple[Image, ...]) -> Inventory:
    return Inventory(images)


def with_fnmatch(
    images: tuple[Image, ...], rules: LifecyclePolicy, *, matches: Callable[[str, str], bool] = fnmatch
) -> set[str]:
    claimed: set[str] = set()
    gone: set[str] = set()
    for rule in rules:
        pool = []
        for image in images:
            if rule.tag_status == "untagged":
                hit = not image.tags
            elif rule.tag_status == "any":
                hit = True
            else:
                hit = all(any(matches(tag, p) for tag in image.tags) for p in rule.tag_patterns)
            if hit:
                pool.append(image)
        pool.sort(key=lambda i: i.pushed_at, reverse=True)
        if rule.count_type == "imageCountMoreThan":
            marks = pool[rule.count_number :]
        else:
            marks = [i for i in pool if NOW - i.pushed_at > dt.timedelta(days=rule.count_number)]
        gone |= {i.digest for i in marks if i.digest not in claimed}
        claimed |= {i.digest for i in pool}
    return gone


def with_duckdb(images: tuple[Image, ...], rules: LifecyclePolicy) -> tuple[str, ...]:
    """The same question: one storage class, restored images by their restore, ties by digest, oldest first."""
    import duckdb
    import numpy as np

    # Records become columns in the quickest way that DuckDB offers: numpy arrays, scanned in place.
    base = {
        "id": np.arange(len(images)),
        "digest": np.array([i.digest for i in images], dtype=object),
        "pushed": np.array([(i.last_activated_at or i.pushed_at).timestamp() for i in images]),
        "untagged": np.array([not i.tags for i in images]),
        "archived": np.array([i.status in ("ARCHIVED", "ACTIVATING") for i in images]),
    }
    named = {
        "id": np.array([n for n, i in enumerate(images) for _ in i.tags], dtype=np.int64),
        "tag": np.array([t for i in images for t in i.tags], dtype=object),
    }
    db = duckdb.connect()
    db.register("base", base)
    db.register("named", named)
    db.execute("create table image as select * from base where not archived")
    db.execute("create table tag as select * from named")
    parts = []
    for rule in rules:
        if rule.tag_status == "any":
            where = "true"
        elif rule.tag_status == "untagged":
            where = "untagged"
        else:
            where = " and ".join(
                "id in (select id from tag where tag like '" + p.replace("_", "\\_").replace("*", "%") + "')"
                for p in rule.tag_patterns
            )
        if rule.count_type == "imageCountMoreThan":
            mark = f"row_number() over (order by pushed desc, digest desc) > {rule.count_number}"
        else:
            mark = f"pushed < {NOW.timestamp() - rule.count_number * 86400}"
        parts.append(f"select id, {rule.priority} as p, {mark} as hit from image where {where}")
    hit = f"select id from ({' union all '.join(parts)}) group by id having arg_min(hit, p)"
    found = db.execute(f"select id from image where id in ({hit}) order by pushed, digest").fetchnumpy()["id"]
    return tuple(images[i].digest for i in found.tolist())


def measure(works, *args, rounds: int = ROUNDS) -> list[tuple[float, object]]:
    """Return the best time and the result of each; in turns, so that a busy machine is busy for all of them."""
    best, results = [float("inf")] * len(works), [None] * len(works)
    for _ in range(rounds):
        for n, work in enumerate(works):
            gc.collect()
            began = time.perf_counter()
            results[n] = work(*args)
            best[n] = min(best[n], time.perf_counter() - began)
    return list(zip(best, results, strict=True))


def tag_cost(match, tag: str) -> float:
    best = float("inf")
    for _ in range(7):
        began = time.perf_counter()
        for _ in range(2000):
            match(tag)
        best = min(best, (time.perf_counter() - began) / 2000)
    return best


def main() -> None:
    images, rules = inventory().images, policy()
    fresh = iter([Inventory(images) for _ in range(ROUNDS)])
    ways = (partial(with_ecrkit, fresh), with_fnmatch, partial(with_fnmatch, matches=fnmatchcase), with_duckdb, again)
    (ours, found), (plain, expected), (case, _), (duck, other), (second, _) = measure(ways, images, rules)
    assert (found, set(found)) == (other, expected), "the three ways disagree"
    match = compile_glob("*a*a*a*b")
    ordinary = tag_cost(match, "release-2026.11.25-a-a-a-b")
    # Refused at once by its end; refused after everything else has matched; matched in the last place.
    globs = [("*a*a*a*b", "a" * 300), ("*a*a*ab*", "a" * 300), ("*a*a*a*b", "a" * 299 + "b")]
    hostile = max(tag_cost(compile_glob(pattern), tag) for pattern, tag in globs)
    results = {
        "images": COUNT, "rules": len(rules), "acted_on": len(expected), "ecrkit_ms": round(ours * 1e3, 1),
        "again_ms": round(second * 1e3, 1), "fnmatch_ms": round(plain * 1e3, 1),
        "fnmatchcase_ms": round(case * 1e3, 1), "duckdb_ms": round(duck * 1e3, 1),
        "times_faster_than_fnmatch": round(plain / ours, 2), "times_faster_than_fnmatchcase": round(case / ours, 2),
        "times_faster_than_duckdb": round(duck / ours, 2), "again_times_faster_than_fnmatch": round(plain / second, 2),
        "hostile_tag_over_ordinary": round(hostile / ordinary, 2),
    }  # fmt: skip
    for name, value in results.items():
        print(f"{name:32} {value}")
    print(json.dumps(results))


if __name__ == "__main__":
    main()
