"""Package URLs: read one, match one against another, and give an Inspector package the one it would have.

Source: the package-url specification. The mapping of Inspector's package managers is ecrkit's own; a `purl` that
Inspector itself states is preferred.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Self
from urllib.parse import quote, unquote

import attrs
from typing_extensions import override

from ecrkit._internal.jsonio import Record
from ecrkit.errors import InvalidInput
from ecrkit.scanning.findings import Package

__all__ = ["Purl", "package_purl"]

# (prefix of Inspector's platform, purl type, namespace). Longer prefixes first.
_DISTRIBUTIONS: Final = (
    ("AMAZON_LINUX", "rpm", "amzn"),
    ("ALMALINUX", "rpm", "almalinux"),
    ("ALMA", "rpm", "almalinux"),
    ("ALPINE", "apk", "alpine"),
    ("BOTTLEROCKET", "rpm", "bottlerocket"),
    ("CENTOS", "rpm", "centos"),
    ("CHAINGUARD", "apk", "chainguard"),
    ("DEBIAN", "deb", "debian"),
    ("FEDORA", "rpm", "fedora"),
    ("MINIMOS", "apk", "minimos"),
    ("OPENSUSE", "rpm", "opensuse"),
    ("ORACLE_LINUX", "rpm", "oracle"),
    ("PHOTON", "rpm", "photon"),
    ("RHEL", "rpm", "redhat"),
    ("REDHAT", "rpm", "redhat"),
    ("ROCKY", "rpm", "rocky"),
    ("SLE", "rpm", "suse"),
    ("SUSE", "rpm", "suse"),
    ("UBUNTU", "deb", "ubuntu"),
    ("WOLFI", "apk", "wolfi"),
)
# Names that other tools give the same distribution.
_SAME_NAMESPACE: Final = {
    "amazon": "amzn", "amazonlinux": "amzn", "alma": "almalinux", "rhel": "redhat", "ol": "oracle",
    "oraclelinux": "oracle", "rockylinux": "rocky", "sles": "suse",
}  # fmt: skip
_MANAGERS: Final = {
    "PIP": "pypi", "PYTHONPKG": "pypi", "PIPENV": "pypi", "POETRY": "pypi",
    "NPM": "npm", "NODEPKG": "npm", "YARN": "npm", "JAR": "maven", "POM": "maven",
    "GOMOD": "golang", "GOBINARY": "golang", "GEMSPEC": "gem", "BUNDLER": "gem",
    "CARGO": "cargo", "COMPOSER": "composer", "NUGET": "nuget", "DOTNET_CORE": "nuget",
}  # fmt: skip
_ARCHES: Final = {
    "deb": {"X86_64": "amd64", "AMD64": "amd64", "AARCH64": "arm64", "ARM64": "arm64"},
    "rpm": {"AMD64": "x86_64", "X86_64": "x86_64", "ARM64": "aarch64", "AARCH64": "aarch64"},
    "apk": {"AMD64": "x86_64", "X86_64": "x86_64", "ARM64": "aarch64", "AARCH64": "aarch64"},
}


@attrs.frozen(kw_only=True)
class Purl(Record):
    """A package URL, taken apart and normalised.

    Example:
        >>> purl = Purl.parse("pkg:deb/debian/curl@7.88.1-10%2Bdeb12u8?arch=amd64&distro=debian-12")
        >>> purl.type, purl.namespace, purl.name, purl.version, dict(purl.qualifiers)["arch"]
        ('deb', 'debian', 'curl', '7.88.1-10+deb12u8', 'amd64')
        >>> Purl.parse("pkg:deb/debian/curl?arch=amd64").covers(purl)
        True
    """

    type: str
    name: str
    namespace: str = ""
    version: str = ""
    qualifiers: tuple[tuple[str, str], ...] = ()
    subpath: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the package URL of a text.

        Raises:
            InvalidInput: the text is no package URL.
        """
        what = "not a package URL"
        if not text.startswith("pkg:"):
            raise InvalidInput.single(what, f"{text!r:.80}", "must begin with 'pkg:'")
        rest, _, subpath = text[4:].partition("#")
        rest, _, query = rest.partition("?")
        kind, slash, path = rest.lstrip("/").partition("/")
        if not slash or not kind:
            raise InvalidInput.single(what, f"{text!r:.80}", "has no type or no name")
        path = path.strip("/")
        # The version begins at the last @ of the last part: an npm scope is written %40 and holds none.
        head, at, version = path.rpartition("@")
        if not at or "/" in version:
            head, version = path, ""
        *spaces, name = [unquote(p) for p in head.split("/") if p] or [""]
        if not name:
            raise InvalidInput.single(what, f"{text!r:.80}", "has no name")
        pairs = []
        for part in query.split("&") if query else ():
            key, _, value = part.partition("=")
            if key and value:
                pairs.append((key.lower(), unquote(value)))
        return cls.of(
            kind,
            name,
            namespace="/".join(spaces),
            version=unquote(version),
            qualifiers=dict(pairs),
            subpath="/".join(unquote(p) for p in subpath.split("/") if p not in ("", ".", "..")),
        )

    @classmethod
    def of(
        cls,
        kind: str,
        name: str,
        *,
        namespace: str = "",
        version: str = "",
        qualifiers: Mapping[str, str] | None = None,
        subpath: str = "",
    ) -> Self:
        """Return the package URL of the parts, normalised by the rules of its type."""
        kind = kind.lower()
        if kind in ("deb", "rpm", "apk"):
            namespace = _SAME_NAMESPACE.get(namespace.lower(), namespace.lower())
        if kind == "pypi":
            name = name.lower().replace("_", "-")
        if kind in ("deb", "apk", "npm", "composer", "github", "bitbucket", "golang"):
            name, namespace = name.lower(), namespace.lower()
        pairs = tuple(sorted((k, v) for k, v in (qualifiers or {}).items() if v and (k, v) != ("epoch", "0")))
        return cls(type=kind, name=name, namespace=namespace, version=version, qualifiers=pairs, subpath=subpath)

    @property
    def key(self) -> tuple[str, str, str]:
        """Type, namespace and name: what two package URLs must share to match at all."""
        return self.type, self.namespace, self.name

    def covers(self, other: Purl) -> bool:
        """Return whether this package URL, taken as a pattern, covers the other.

        Type, namespace and name are equal; the version is equal or not given here; every qualifier given here has
        the same value there; qualifiers that only the other has do not matter.
        """
        return (
            self.key == other.key
            and self.version in ("", other.version)
            and self.subpath in ("", other.subpath)
            and set(self.qualifiers) <= set(other.qualifiers)
        )

    @override
    def __str__(self) -> str:
        space = "".join(f"{quote(p, safe='')}/" for p in self.namespace.split("/") if p)
        version = f"@{quote(self.version, safe=':')}" if self.version else ""
        query = "&".join(f"{k}={quote(v, safe=':/,')}" for k, v in self.qualifiers)
        sub = f"#{quote(self.subpath, safe='/')}" if self.subpath else ""
        return f"pkg:{self.type}/{space}{quote(self.name, safe=':')}{version}{'?' if query else ''}{query}{sub}"


def package_purl(package: Package, *, os: str | None = None) -> Purl | None:
    """Return the package URL of a package of a scan, or None when there is no exact one.

    `os` is the image's platform as Inspector names it (`DEBIAN_12`, `AMAZON_LINUX_2`); without it a package of the
    operating system has no package URL. The managers GENERIC, JAVA and GO have none either. An epoch of 0 is left
    out; another one is part of the version for Debian and a qualifier for RPM.

    Example:
        >>> str(package_purl(Package(name="curl", version="7.88.1", release="10+deb12u8", epoch=0, arch="AMD64",
        ...                          manager="OS"), os="DEBIAN_12"))
        'pkg:deb/debian/curl@7.88.1-10%2Bdeb12u8?arch=amd64&distro=debian-12'
    """
    if package.purl:
        try:
            return Purl.parse(package.purl)
        except InvalidInput:
            return None
    manager = (package.manager or "").upper()
    if manager == "OS":
        return _os_purl(package, os or "")
    kind = _MANAGERS.get(manager)
    if kind is None or not package.name:
        return None
    namespace, name = "", package.name
    if kind == "maven":
        namespace, _, name = package.name.rpartition(":")
    elif kind in ("golang", "composer", "npm"):
        namespace, _, name = package.name.rpartition("/")
    return Purl.of(kind, name, namespace=namespace, version=package.version) if name else None


def _os_purl(package: Package, os: str) -> Purl | None:
    found = next((d for d in _DISTRIBUTIONS if os.upper().startswith(d[0])), None)
    if found is None or not package.name:
        return None
    prefix, kind, namespace = found
    number = os[len(prefix) :].strip("_").replace("_", ".").lower()
    distro = f"{namespace}-{number}" if number else namespace
    qualifiers = {"distro": distro}
    if package.arch:
        qualifiers["arch"] = _ARCHES[kind].get(package.arch.upper(), package.arch.lower())
    if package.epoch and kind == "rpm":
        qualifiers["epoch"] = str(package.epoch)
    release = f"-{package.release}" if package.release else ""
    epoch = f"{package.epoch}:" if package.epoch and kind != "rpm" else ""
    version = f"{epoch}{package.version}{release}" if package.version else ""
    return Purl.of(kind, package.name, namespace=namespace, version=version, qualifiers=qualifiers)
