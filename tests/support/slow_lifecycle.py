"""A slow and obvious evaluator of lifecycle policies, written from the user guide and sharing no code with the fast one.

It knows documents and images only: regular expressions for tags, full sorts per rule, sets, and a guard that restarts
from the beginning after each image it takes out.
"""

import datetime as dt
import re
from dataclasses import dataclass, field

DAY = dt.timedelta(hours=24)


@dataclass
class Result:
    acted: dict = field(default_factory=dict)
    blocked: set = field(default_factory=set)
    cascaded: dict = field(default_factory=dict)


def is_archived(image):
    return image.status in {"ARCHIVED", "ACTIVATING"}


def entry_matches(entry, tag, kind):
    if kind == "tagPrefixList":
        return tag[: len(entry)] == entry
    return re.fullmatch(".*".join(re.escape(p) for p in entry.split("*")), tag, re.DOTALL) is not None


def identifies(selection, image):
    if is_archived(image) != (selection.get("storageClass", "standard") == "archive"):
        return False
    if selection["tagStatus"] == "any":
        return True
    if selection["tagStatus"] == "untagged":
        return not image.tags
    for kind in ("tagPrefixList", "tagPatternList"):
        for entry in selection.get(kind, []):
            if not any(entry_matches(entry, tag, kind) for tag in image.tags):
                return False
    return bool(image.tags)


def push_time(image):
    return image.pushed_at if image.last_activated_at is None else image.last_activated_at


def is_older(image, selection, now):
    limit = selection["countNumber"] * DAY
    if selection["countType"] == "sinceImagePushed":
        start = push_time(image)
    elif selection["countType"] == "sinceImageTransitioned":
        start = image.last_archived_at
        if start is None:
            return False
    else:
        start = image.last_pulled_at
        if image.last_activated_at is not None and (start is None or start < image.last_activated_at):
            start = image.last_activated_at
        if start is None:
            start = image.pushed_at
    return now - start > limit


def evaluate(document, inventory, now):
    images = list(inventory.images)
    claimed, wanted = set(), {}
    for rule in sorted(document["rules"], key=lambda r: r["rulePriority"]):
        selection = rule["selection"]
        pool = [i for i in images if identifies(selection, i)]
        pool.sort(key=lambda i: (push_time(i), i.digest))
        pool.reverse()
        if selection["countType"] == "imageCountMoreThan":
            marks = pool[selection["countNumber"] :]
        else:
            marks = [i for i in pool if is_older(i, selection, now)]
        for image in marks:
            if image.digest not in claimed:
                wanted[image.digest] = (rule["action"]["type"], rule["rulePriority"])
        claimed |= {i.digest for i in pool}
    by_digest = {i.digest: i for i in images}
    result = Result(acted=dict(wanted))

    def is_held(digest):
        for parent, children in inventory.children.items():
            if parent == digest or digest not in children or parent not in by_digest:
                continue
            if by_digest[parent].status != "ARCHIVED" and parent not in result.acted:
                return True
        return False

    moved = True
    while moved:
        moved = False
        for digest in list(result.acted):
            if is_held(digest):
                del result.acted[digest]
                result.blocked.add(digest)
                moved = True
                break
    moved = True
    while moved:
        moved = False
        gone = {d: a for d, (a, _) in result.acted.items()} | result.cascaded
        for image in images:
            if image.digest in gone or image.subject_digest not in gone or is_held(image.digest):
                continue
            action = gone[image.subject_digest]
            if action == "transition" and is_archived(image):
                continue
            result.cascaded[image.digest] = action
            moved = True
    return result
