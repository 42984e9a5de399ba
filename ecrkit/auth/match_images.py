"""The kubelet's rule for `matchImages`: does a pattern match an image, and is it a pattern at all.

Source: Kubernetes documentation, "Configure a kubelet image credential provider", and `pkg/credentialprovider`
(`URLsMatchStr`): equal port, the same number of domain labels, one glob for each label, the path is a prefix.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit.errors import Problem

__all__ = ["PatternMatch", "match_image", "pattern_problems", "split_pattern", "unmatched"]

_URL_PARTS: Final = {
    "?": "begins a query, so the rest of the pattern is not looked at; a glob here is '*'",
    "#": "begins a fragment, so the rest of the pattern is not looked at",
    "@": "ends a user name, which does not belong here",
    "%": "is an escape of URLs",
    "[": "is read as an IPv6 address; a glob here is '*'",
    "]": "is read as an IPv6 address; a glob here is '*'",
    "\\": "is refused in a host",
    " ": "is refused in a host",
}


@attrs.frozen(kw_only=True)
class PatternMatch(Record):
    """Whether a pattern matches an image, and the sentence that says why not."""

    matches: bool
    reason: str


def split_pattern(text: str) -> tuple[list[str], str, str]:
    """Return labels, port and path of a pattern or an image, as the kubelet takes them apart.

    Example:
        >>> split_pattern("*.dkr.ecr.*.amazonaws.com:443/team")
        (['*', 'dkr', 'ecr', '*', 'amazonaws', 'com'], '443', '/team')
    """
    host, slash, path = text.partition("/")
    name, _, port = host.partition(":")
    return name.split("."), port, slash + path


def pattern_problems(pattern: str, path: str = "$") -> list[Problem]:
    """Return what is wrong with a `matchImages` pattern; the kubelet refuses it or never matches it.

    Example:
        >>> [str(p) for p in pattern_problems("https://*.dkr.ecr.*.amazonaws.com")]
        ["$: leave out 'https://'; a pattern begins with the host"]
    """
    found = _refused(pattern, path)
    if "://" in pattern:
        return found
    host = pattern.partition("/")[0]
    labels, _, rest = split_pattern(pattern)
    if any(sign in rest for sign in "*?["):
        found.append(Problem(path, "the path is taken as it stands, as a prefix: a glob is not allowed there"))
    if ":" in rest or "@" in rest:
        found.append(Problem(path, "the kubelet matches the repository without tag and digest; leave them out"))
    if any("**" in label for label in labels):
        found.append(Problem(path, "a glob covers one label only; '**' matches no more than '*'"))
    if host != host.lower():
        found.append(Problem(path, "hosts are compared with case; registry hosts are in lower case"))
    return found


def _refused(pattern: str, path: str) -> list[Problem]:
    """Return what keeps the pattern from being read as its author means it."""
    if "://" in pattern:
        return [Problem(path, f"leave out {pattern.partition('://')[0] + '://'!r}; a pattern begins with the host")]
    host = pattern.partition("/")[0]
    found = [Problem(path, f"{sign!r} {said}") for sign, said in _URL_PARTS.items() if sign in host]
    labels, port, _ = split_pattern(pattern)
    if port and not (port.isascii() and port.isdecimal()):
        found.append(Problem(path, f"the port must be a number, not {port[:20]!r}: a glob is not allowed there"))
    if not all(labels):
        found.append(Problem(path, "has an empty domain label"))
    return found


def match_image(pattern: str, image: str) -> PatternMatch:
    """Return whether the kubelet would call a provider with this pattern for this image, or a registry host.

    `image` may carry a tag or digest; the kubelet takes them off before it compares.

    Example:
        >>> match_image("*.dkr.ecr.*.amazonaws.com", "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn").reason
        'the pattern has 6 domain labels, the host has 7'
    """
    faults = _refused(pattern, "$")
    if faults:
        return PatternMatch(matches=False, reason=f"not a pattern: {faults[0].message}")
    globs, glob_port, glob_path = split_pattern(pattern)
    labels, port, path = split_pattern(_untagged(image))
    if glob_port != port:
        return PatternMatch(
            matches=False, reason=f"the pattern has port {glob_port or 'none'}, the host {port or 'none'}"
        )
    if len(globs) != len(labels):
        reason = f"the pattern has {len(globs)} domain labels, the host has {len(labels)}"
        return PatternMatch(matches=False, reason=reason)
    if not path.startswith(glob_path):
        return PatternMatch(matches=False, reason=f"the path does not begin with {glob_path!r}")
    for glob, label in zip(globs, labels, strict=True):
        if not _glob(glob, label):
            return PatternMatch(matches=False, reason=f"label {label!r} does not match {glob!r}")
    return PatternMatch(matches=True, reason="every label matches")


def unmatched(patterns: Iterable[str], hosts: Iterable[str]) -> tuple[str, ...]:
    """Return the hosts or images that no pattern matches: for these the plugin is never called.

    Example:
        >>> unmatched(["*.dkr.ecr.*.amazonaws.com"], ["public.ecr.aws", "123456789012.dkr.ecr.eu-west-1.amazonaws.com"])
        ('public.ecr.aws',)
    """
    held = list(patterns)
    return tuple(host for host in dict.fromkeys(hosts) if not any(match_image(p, host).matches for p in held))


def _untagged(image: str) -> str:
    name = image.partition("@")[0]
    head, slash, last = name.rpartition("/")
    return f"{head}/{last.partition(':')[0]}" if slash else name


def _glob(glob: str, label: str) -> bool:
    # Splitting at stars and searching in order is linear; a regular expression with many stars is not.
    first, *rest = glob.split("*")
    if not rest:
        return glob == label
    *middle, last = rest
    if not label.startswith(first) or len(label) < len(first) + len(last) or not label.endswith(last):
        return False
    at, end = len(first), len(label) - len(last)
    for part in middle:
        found = label.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True
