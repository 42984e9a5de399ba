"""A lifecycle dry run on data from a file: no account, no network, nothing changed."""

import datetime as dt

from ecrkit.images import Inventory
from ecrkit.lifecycle import LifecyclePolicy, simulate

# Five items as `aws ecr describe-images` prints them. Usually they come from a file or from the gateway.
details = [
    {
        "imageDigest": f"sha256:{number:064x}",
        "imageTags": [tag],
        "imagePushedAt": f"2026-01-{number:02}T00:00:00+00:00",
        "imageSizeInBytes": 30_000_000,
    }
    for number, tag in enumerate(["dev-1", "dev-2", "prod-1", "dev-3", "prod-2"], start=1)
]

# What many teams write when they mean "keep the newest of dev and of prod".
policy = LifecyclePolicy.parse(
    {
        "rules": [
            {
                "rulePriority": 1,
                "selection": {
                    "tagStatus": "tagged",
                    "tagPrefixList": ["dev-", "prod-"],
                    "countType": "imageCountMoreThan",
                    "countNumber": 1,
                },
                "action": {"type": "expire"},
            }
        ]
    }
)
# --8<-- [start:ask]
inventory = Inventory.from_api(details)
now = dt.datetime(2026, 2, 1, tzinfo=dt.UTC)

run = simulate(policy, inventory, now=now)
print(f"{len(run.expired)} of {len(inventory)} images would go")
for image in inventory:
    print(run.outcome(image.digest).explain())
# --8<-- [end:ask]
assert len(run.expired) == 0  # ECR reads the list as "and": no image carries a dev- and a prod- tag

# One rule for each prefix says what was meant.
selection = {"tagStatus": "tagged", "countType": "imageCountMoreThan", "countNumber": 1}
repaired = LifecyclePolicy.parse(
    {
        "rules": [
            {
                "rulePriority": priority,
                "selection": {**selection, "tagPrefixList": [prefix]},
                "action": {"type": "expire"},
            }
            for priority, prefix in enumerate(["dev-", "prod-"], start=1)
        ]
    }
)
run = simulate(repaired, inventory, now=now)
for image in inventory:
    print(run.outcome(image.digest).explain())
assert len(run.expired) == 3
