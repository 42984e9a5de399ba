"""A crawl of DescribeImages: the gateway with 8 workers against boto3's own paginator, pages of 1000 images, 60 ms.

boto3 gives dictionaries, the gateway gives records. The last line is JSON.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from benchmarks.support.page_server import running
from ecrkit._internal.tables import text_table
from ecrkit.aws.ecr import EcrGateway
from ecrkit.aws.session import AwsSession, offline_session

REPOSITORIES = 40
PAGES = 2
SIZE = 1000
WORKERS = 8
REQUIRED = 4.0


def client(url: str, workers: int):
    """Return a plain client, with retries and pool as boto3 makes them, but for the size of the pool."""
    from botocore.config import Config

    config = Config(max_pool_connections=max(workers, 10))
    return offline_session("eu-west-1").client("ecr", endpoint_url=url, config=config)


def paginator(url: str, workers: int) -> int:
    """Walk every repository with boto3's paginator; return how many images came."""
    ecr = client(url, workers)

    def walk(repository: str) -> int:
        pages = ecr.get_paginator("describe_images").paginate(
            repositoryName=repository, filter={"imageStatus": "ANY"}, PaginationConfig={"PageSize": 1000}
        )
        return sum(len(page["imageDetails"]) for page in pages)

    names = [f"app{number}" for number in range(REPOSITORIES)]
    if workers == 1:
        return sum(map(walk, names))
    with ThreadPoolExecutor(workers) as pool:
        return sum(pool.map(walk, names))


def gateway(url: str, workers: int, *, fast: bool) -> int:
    """Crawl every repository with the gateway; return how many images came."""
    session = AwsSession(offline_session("eu-west-1"), endpoint_url=url, workers=workers, fast_parser=fast)
    crawl = EcrGateway(session.caller("ecr"), workers=workers)
    names = [f"app{number}" for number in range(REPOSITORIES)]
    return sum(len(found.images or ()) for found in crawl.images_of_many(names))


def main() -> None:
    """Print the table and the figures."""
    ways: dict[str, Callable[[str], int]] = {
        "boto3 paginator": lambda url: paginator(url, 1),
        f"boto3 paginator, {WORKERS} threads": lambda url: paginator(url, WORKERS),
        "gateway, 1 worker": lambda url: gateway(url, 1, fast=True),
        f"gateway, {WORKERS} workers, botocore's parser": lambda url: gateway(url, WORKERS, fast=False),
        f"gateway, {WORKERS} workers": lambda url: gateway(url, WORKERS, fast=True),
    }
    total = REPOSITORIES * PAGES * SIZE
    took: dict[str, float] = {}
    with running(pages=PAGES, size=SIZE) as server:
        for name, way in ways.items():
            began = time.perf_counter()
            assert way(server.url) == total, name
            took[name] = time.perf_counter() - began
    base = took["boto3 paginator"]
    rows = [
        (name, f"{seconds:.1f}", f"{REPOSITORIES * PAGES / seconds:.1f}", f"{base / seconds:.1f}")
        for name, seconds in took.items()
    ]
    print(text_table(("way", "seconds", "pages/s", "times faster"), rows, right=frozenset({1, 2, 3})))
    ratio = base / took[f"gateway, {WORKERS} workers"]
    print(f"\nrequired: {REQUIRED} times faster; measured: {ratio:.1f}")
    figures = {"benchmark": "crawl", "images": total, "seconds": took, "ratio": ratio, "required": REQUIRED}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
