"""Names of the registry world, parsed once: hosts, repositories, tags, digests and whole image references.

Grammar: repository names, registry ids and filters follow the patterns of botocore's ECR model; references and
tags follow the OCI distribution specification; host forms follow the "Amazon ECR endpoints and quotas" page of the
AWS General Reference and the partition data of botocore.
"""

from __future__ import annotations

import re
from typing import Final, Literal, NewType, Self

import attrs
from typing_extensions import override

from ecrkit.errors import InvalidReference, Problem

__all__ = [
    "Digest",
    "ImageRef",
    "RegistryHost",
    "RepositoryName",
    "Tag",
    "digest",
    "partition_of_region",
    "repository_name",
    "tag",
]

RepositoryName = NewType("RepositoryName", str)
"""A checked ECR repository name; made by [`repository_name`][ecrkit.refs.repository_name]."""
Tag = NewType("Tag", str)
"""A checked tag of an image reference; made by [`tag`][ecrkit.refs.tag]."""
Digest = NewType("Digest", str)
"""A checked `sha256:` digest; made by [`digest`][ecrkit.refs.digest]."""

# Every alternative of the separators starts with another character and each component starts and ends with an
# alphanumeric, so matching is linear also on hostile strings (tests/unit/refs/test_hostile.py measures it).
_COMPONENT: Final = r"[a-z0-9]+(?:(?:\.|__|_|-+)[a-z0-9]+)*"
_REPOSITORY: Final = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_ACCOUNT: Final = re.compile(r"[0-9]{12}")
_REGION: Final = re.compile(r"[a-z]{2,5}(?:-[a-z]{1,16}){1,3}-[0-9]{1,2}")

_MAX_REPOSITORY: Final = 256
_MAX_PUBLIC_REPOSITORY: Final = 205


@attrs.frozen
class _Partition:
    name: str
    prefixes: tuple[str, ...]
    suffix: str
    dual_stack_suffix: str | None


# botocore data/partitions.json (dnsSuffix, regionRegex) and the ECR endpoints page for the on.* hosts. No dual-stack
# registry host is documented for the ISO and EU Sovereign partitions, so none is accepted.
_PARTITIONS: Final = (
    _Partition("aws-cn", ("cn-",), "amazonaws.com.cn", "on.amazonwebservices.com.cn"),
    _Partition("aws-us-gov", ("us-gov-",), "amazonaws.com", "on.aws"),
    _Partition("aws-iso-b", ("us-isob-",), "sc2s.sgov.gov", None),
    _Partition("aws-iso-f", ("us-isof-", "eu-isof-"), "csp.hci.ic.gov", None),
    _Partition("aws-iso-e", ("eu-isoe-",), "cloud.adc-e.uk", None),
    _Partition("aws-iso", ("us-iso-",), "c2s.ic.gov", None),
    _Partition("aws-eusc", ("eusc-",), "amazonaws.eu", None),
    _Partition("aws", ("",), "amazonaws.com", "on.aws"),
)

_PUBLIC_HOSTS: Final = ("public.ecr.aws", "ecr-public.aws.com")


def _partition(region: str) -> _Partition:
    return next(p for p in _PARTITIONS if region.startswith(p.prefixes))


def partition_of_region(region: str) -> str:
    """Return the partition name (`aws`, `aws-cn`, `aws-us-gov` ...) that `region` belongs to.

    Source: the region patterns of botocore's `partitions.json`. An unknown region name counts as `aws`.

    Example:
        >>> partition_of_region("cn-north-1"), partition_of_region("eu-west-1")
        ('aws-cn', 'aws')
    """
    return _partition(region).name


def repository_name(text: str) -> RepositoryName:
    """Return `text` as a repository name.

    2 to 256 characters of lower-case letters and digits, separated by `.`, `_`, `__`, one or more `-`, or `/`
    (pattern of the `RepositoryName` shape in botocore's ECR model).

    Raises:
        InvalidReference: `text` is no such name; the message says which part is wrong.

    Example:
        >>> repository_name("team-a/my__app")
        'team-a/my__app'
    """
    fault = _repository_fault(text)
    if fault:
        raise InvalidReference.single("invalid repository name", _shown(text), fault)
    return RepositoryName(text)


def _repository_fault(text: str) -> str | None:
    if len(text) < 2:
        return "a repository name has at least 2 characters"
    if len(text) > _MAX_REPOSITORY:
        return f"a repository name has at most {_MAX_REPOSITORY} characters, this one has {len(text)}"
    if _REPOSITORY.fullmatch(text):
        return None
    if any(c.isupper() for c in text):
        return "a repository name has no upper-case letters"
    for part in text.split("/"):
        if not part:
            return "empty path component: no leading, trailing or double '/'"
        if not re.fullmatch(_COMPONENT, part):
            return (
                f"component {_shown(part)} must be lower-case letters and digits joined by single '.', '_', '__' or "
                "dashes, beginning and ending with a letter or digit"
            )
    return "not a repository name"


def tag(text: str) -> Tag:
    """Return `text` as a tag that can stand in an image reference.

    The ECR API takes any 1 to 300 characters; a reference takes `[A-Za-z0-9_][A-Za-z0-9._-]{0,127}` (OCI
    distribution specification), so a longer tag could be put and never pulled.

    Raises:
        InvalidReference: `text` is no such tag.

    Example:
        >>> tag("v1.2.3")
        'v1.2.3'
    """
    if not _TAG.fullmatch(text):
        raise InvalidReference.single(
            "invalid tag",
            _shown(text),
            "a tag is 1 to 128 letters, digits, '_', '.' and '-', and does not begin with '.' or '-'",
        )
    return Tag(text)


def digest(text: str) -> Digest:
    """Return `text` as a digest, `sha256:` and 64 lower-case hexadecimal digits.

    Raises:
        InvalidReference: `text` is no such digest.

    Example:
        >>> digest("sha256:" + "0" * 64)[:10]
        'sha256:000'
    """
    if not _DIGEST.fullmatch(text):
        hint = f", this has {len(text) - 7} after the prefix" if text.startswith("sha256:") else ""
        raise InvalidReference.single(
            "invalid digest", _shown(text), f"a digest is 'sha256:' and 64 lower-case hexadecimal digits{hint}"
        )
    return Digest(text)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")


@attrs.frozen(kw_only=True)
class RegistryHost:
    """A registry host, taken apart: whose registry, where, and by which endpoint.

    `account` and `region` are None for ECR Public. `fips` and `dual_stack` say which of the documented endpoint
    forms the host is.

    Example:
        >>> host = RegistryHost.parse("123456789012.dkr-ecr-fips.us-west-2.on.aws")
        >>> host.account, host.region, host.fips, host.dual_stack
        ('123456789012', 'us-west-2', True, True)
    """

    account: str | None
    region: str | None
    fips: bool = False
    dual_stack: bool = False

    @property
    def public(self) -> bool:
        """Whether this is ECR Public (`public.ecr.aws` or its dual-stack twin)."""
        return self.account is None

    @property
    def partition(self) -> str:
        """The partition name; ECR Public lives in `aws`."""
        return "aws" if self.region is None else partition_of_region(self.region)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a host name as it stands in an image reference: no scheme, no port, no path.

        Raises:
            InvalidReference: not a documented host form of ECR. Mixes that look possible and are not documented
                (`dkr-ecr` with `amazonaws.com`, `dkr.ecr` with `on.aws`, a region of another partition than the
                suffix) and look-alikes (`....amazonaws.com.evil.example`) are refused.
        """
        found = _host_fault_or_parts(text)
        if isinstance(found, str):
            raise InvalidReference.single("not an ECR registry host", _shown(text), found)
        account, region, fips, dual_stack = found
        return cls(account=account, region=region, fips=fips, dual_stack=dual_stack)

    @classmethod
    def private(cls, account: str, region: str, *, fips: bool = False, dual_stack: bool = False) -> Self:
        """Return the host of `account`'s private registry in `region`.

        Raises:
            InvalidReference: the account is no 12-digit number, the region is no region name, or the partition has
                no such endpoint form.
        """
        problems = []
        if not _ACCOUNT.fullmatch(account):
            problems.append(Problem("account", f"a registry id is 12 digits, not {_shown(account)}"))
        if not _REGION.fullmatch(region):
            problems.append(Problem("region", f"not a region name: {_shown(region)}"))
        elif dual_stack and _partition(region).dual_stack_suffix is None:
            problems.append(Problem("dual_stack", f"no dual-stack registry host is documented for {region}"))
        if problems:
            raise InvalidReference("not an ECR registry host", problems)
        return cls(account=account, region=region, fips=fips, dual_stack=dual_stack)

    def in_region(self, region: str) -> Self:
        """Return the same registry and endpoint form in another region.

        Raises:
            InvalidReference: ECR Public has no regions, or the other partition lacks the endpoint form.
        """
        if self.account is None:
            raise InvalidReference.single("no regional host", str(self), "ECR Public has no regions")
        return self.private(self.account, region, fips=self.fips, dual_stack=self.dual_stack)

    @override
    def __str__(self) -> str:
        if self.account is None or self.region is None:
            return _PUBLIC_HOSTS[1] if self.dual_stack else _PUBLIC_HOSTS[0]
        part = _partition(self.region)
        fips = "-fips" if self.fips else ""
        if self.dual_stack:
            return f"{self.account}.dkr-ecr{fips}.{self.region}.{part.dual_stack_suffix}"
        return f"{self.account}.dkr.ecr{fips}.{self.region}.{part.suffix}"


_HostParts = tuple[str | None, str | None, bool, bool]


def _host_fault_or_parts(text: str) -> str | _HostParts:
    """Return (account, region, fips, dual stack), or a sentence that says why `text` is no ECR host."""
    if text in _PUBLIC_HOSTS:
        return None, None, False, text == _PUBLIC_HOSTS[1]
    if "://" in text:
        return "leave out the scheme; a reference begins with the host"
    if text != text.lower():
        return "registry hosts are written in lower case"
    labels = text.split(".")
    account = labels[0]
    if labels[1:3] in (["dkr", "ecr"], ["dkr", "ecr-fips"]):
        dual_stack, fips, rest = False, labels[2] == "ecr-fips", labels[3:]
    elif labels[1:2] in (["dkr-ecr"], ["dkr-ecr-fips"]):
        dual_stack, fips, rest = True, labels[1] == "dkr-ecr-fips", labels[2:]
    else:
        return "an ECR host is ACCOUNT.dkr.ecr.REGION.SUFFIX, ACCOUNT.dkr-ecr.REGION.on.SUFFIX, or public.ecr.aws"
    if not _ACCOUNT.fullmatch(account):
        return f"the registry id must be 12 digits, this one is {_shown(account)} ({len(account)} characters)"
    region, suffix = (rest[0], ".".join(rest[1:])) if rest else ("", "")
    if not _REGION.fullmatch(region):
        return f"{_shown(region)} is no region name"
    part = _partition(region)
    wanted = part.dual_stack_suffix if dual_stack else part.suffix
    if wanted is None:
        return f"no dual-stack registry host is documented for {region}"
    if suffix != wanted:
        form = "dual-stack " if dual_stack else ""
        return f"the {form}host of {region} ends in .{wanted}, not in .{suffix}"
    return account, region, fips, dual_stack


@attrs.frozen
class ImageRef:
    """An image reference: registry host (or none), repository, and a tag, a digest, both or neither.

    With both, the digest decides and the tag is a remark, as in containerd. `str()` gives back what was read.

    Example:
        >>> ref = ImageRef.parse("123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/app:v1")
        >>> ref.repository, ref.tag, ref.registry.region
        ('team/app', 'v1', 'eu-west-1')
        >>> str(ref.in_region("us-east-1"))
        '123456789012.dkr.ecr.us-east-1.amazonaws.com/team/app:v1'
        >>> ImageRef.parse("app:Latest").tag
        'Latest'
    """

    registry: RegistryHost | None
    repository: RepositoryName
    tag: Tag | None = None
    digest: Digest | None = None
    _form: Literal["uri", "arn"] = attrs.field(default="uri", kw_only=True, repr=False, eq=False, alias="form")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `repo:tag`, `repo@digest`, `repo:tag@digest`, a full image URI, or a repository ARN.

        A first path component that contains a `.` or `:` or is `localhost` is a host, as in Docker's reference
        grammar; it must then be a host of ECR. The ARN form is `arn:PARTITION:ecr:REGION:ACCOUNT:repository/NAME`,
        optionally followed by `/sha256:...` as Inspector writes it.

        Raises:
            InvalidReference: the text is no reference to an image in ECR; `problems` names every faulty part.
        """
        if not isinstance(text, str):
            raise InvalidReference.single("not an image reference", repr(text), "a reference is a string")
        if text.startswith("arn:"):
            return cls._parse_arn(text)
        if text.startswith(("https://", "http://")):
            raise InvalidReference.single("not an image reference", _shown(text), "leave out the scheme")
        if len(text) > 1024 or not text:
            raise InvalidReference.single("not an image reference", _shown(text), "between 1 and 1024 characters")
        problems: list[Problem] = []
        rest, at, digest_text = text.partition("@")
        first, slash, path = rest.partition("/")
        host_text = first if slash and ("." in first or ":" in first or first == "localhost") else None
        if host_text is None:
            path = rest
        path, colon, tag_text = path.partition(":")
        registry = None
        if host_text is not None:
            found = _host_fault_or_parts(host_text)
            if isinstance(found, str):
                problems.append(Problem("host", f"{_shown(host_text)}: {found}"))
            else:
                registry = RegistryHost(account=found[0], region=found[1], fips=found[2], dual_stack=found[3])
        if host_text is None and not isinstance(_host_fault_or_parts(path), str):
            # ECR's own grammar would take a host for a name; nobody means that.
            problems.append(Problem("repository", f"{_shown(path)} is a registry host; the repository is missing"))
        elif fault := _repository_fault(path):
            problems.append(Problem("repository", f"{_shown(path)}: {fault}"))
        elif registry is not None and registry.public and len(path) > _MAX_PUBLIC_REPOSITORY:
            problems.append(Problem("repository", f"ECR Public names have at most {_MAX_PUBLIC_REPOSITORY} characters"))
        if colon and not _TAG.fullmatch(tag_text):
            problems.append(
                Problem("tag", f"{_shown(tag_text)}: 1 to 128 letters, digits, '_', '.', '-', not first '.' or '-'")
            )
        if at and not _DIGEST.fullmatch(digest_text):
            problems.append(Problem("digest", f"{_shown(digest_text)}: 'sha256:' and 64 lower-case hex digits"))
        if problems:
            raise InvalidReference(f"not an image reference: {_shown(text)}", problems)
        return cls(
            registry,
            RepositoryName(path),
            Tag(tag_text) if colon else None,
            Digest(digest_text) if at else None,
        )

    @classmethod
    def _parse_arn(cls, text: str) -> Self:
        problems: list[Problem] = []
        parts = text.split(":", 5)
        if len(parts) != 6:
            raise InvalidReference.single(
                "not a repository ARN", _shown(text), "arn:PARTITION:ecr:REGION:ACCOUNT:repository/NAME"
            )
        _, partition, service, region, account, resource = parts
        kind, _, name = resource.partition("/")
        name, slash, digest_hex = name.partition("/sha256:")
        if service != "ecr":
            problems.append(Problem("service", f"must be 'ecr', not {_shown(service)}"))
        if not _REGION.fullmatch(region):
            problems.append(Problem("region", f"{_shown(region)} is no region name"))
        elif partition != partition_of_region(region):
            problems.append(
                Problem("partition", f"{region} lies in {partition_of_region(region)}, not in {_shown(partition)}")
            )
        if not _ACCOUNT.fullmatch(account):
            problems.append(Problem("account", f"must be 12 digits, not {_shown(account)}"))
        if kind != "repository":
            problems.append(Problem("resource", f"must be repository/NAME, not {_shown(resource)}"))
        elif fault := _repository_fault(name):
            problems.append(Problem("repository", f"{_shown(name)}: {fault}"))
        if slash and not _DIGEST.fullmatch("sha256:" + digest_hex):
            problems.append(Problem("digest", "'sha256:' and 64 lower-case hex digits"))
        if problems:
            raise InvalidReference(f"not a repository ARN: {_shown(text)}", problems)
        return cls(
            RegistryHost(account=account, region=region),
            RepositoryName(name),
            None,
            Digest("sha256:" + digest_hex) if slash else None,
            form="arn",
        )

    @property
    def arn(self) -> str:
        """The ARN of the repository that the reference lies in.

        Raises:
            InvalidReference: the reference names no private registry, so there is no account and region.
        """
        if self.registry is None or self.registry.account is None or self.registry.region is None:
            raise InvalidReference.single("no ARN", str(self), "the reference names no private registry")
        return (
            f"arn:{self.registry.partition}:ecr:{self.registry.region}:{self.registry.account}"
            f":repository/{self.repository}"
        )

    @property
    def uri(self) -> str:
        """The reference as `[host/]repository[:tag][@digest]`, also for one that was read from an ARN."""
        host = f"{self.registry}/" if self.registry is not None else ""
        tag_part = f":{self.tag}" if self.tag is not None else ""
        digest_part = f"@{self.digest}" if self.digest is not None else ""
        return f"{host}{self.repository}{tag_part}{digest_part}"

    def in_region(self, region: str) -> Self:
        """Return the same reference in another region, in the same endpoint form.

        Raises:
            InvalidReference: there is no registry host to move, or no such host form in that region.
        """
        if self.registry is None:
            raise InvalidReference.single("no region to change", str(self), "the reference names no registry host")
        return attrs.evolve(self, registry=self.registry.in_region(region))

    def pinned(self, to: str) -> Self:
        """Return the reference by digest alone, so that it can never move.

        Raises:
            InvalidReference: `to` is no digest.
        """
        return attrs.evolve(self, tag=None, digest=digest(to))

    def with_tag(self, name: str) -> Self:
        """Return the reference by tag alone.

        Raises:
            InvalidReference: `name` is no tag.
        """
        return attrs.evolve(self, tag=tag(name), digest=None)

    def in_registry(self, host: RegistryHost) -> Self:
        """Return the same repository, tag and digest in the registry `host`."""
        return attrs.evolve(self, registry=host, form="uri")

    @override
    def __str__(self) -> str:
        if self._form == "arn" and self.tag is None and self.registry is not None and not self.registry.public:
            suffix = f"/{self.digest}" if self.digest is not None else ""
            return self.arn + suffix
        return self.uri
