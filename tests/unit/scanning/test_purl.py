"""Package URLs against packageurl-python, the specification's own implementation, and Inspector's packages."""

from __future__ import annotations

import pytest
from packageurl import PackageURL

from ecrkit.errors import InvalidInput
from ecrkit.scanning import Package, Purl, package_purl

TEXTS = [
    "pkg:deb/debian/curl@7.88.1-10%2Bdeb12u8?arch=amd64&distro=debian-12",
    "pkg:rpm/redhat/openssl@1.1.1k-7.el8?arch=x86_64&epoch=1",
    "pkg:npm/%40angular/core@12.3.1",
    "pkg:npm/foobar@12.3.1",
    "pkg:pypi/Django_Rest@1.11.1",
    "pkg:maven/org.apache.logging.log4j/log4j-core@2.14.1",
    "pkg:golang/github.com/gorilla/context@234fd47e07d1#api/v1",
    "pkg:golang/google.golang.org/genproto@abcdedf#googleapis/api/annotations",
    "pkg:gem/ruby-advisory-db-check@0.12.4",
    "pkg:oci/app@sha256%3A244fd47e07d10?repository_url=ghcr.io/team/app&tag=v1",
    "pkg:apk/alpine/curl@7.83.0-r0?arch=x86_64",
    "pkg:deb/debian/dpkg@1%3A1.19.0.4",
]


class TestParsing:
    """Type, namespace, name, version, qualifiers and subpath, normalised by type."""

    @pytest.mark.parametrize("text", TEXTS)
    def test_as_the_reference_implementation(self, text: str) -> None:
        mine, theirs = Purl.parse(text), PackageURL.from_string(text)
        assert (mine.type, mine.namespace, mine.name, mine.version, mine.subpath) == (
            theirs.type, theirs.namespace or "", theirs.name, theirs.version or "", theirs.subpath or "",
        )  # fmt: skip
        assert dict(mine.qualifiers) == theirs.qualifiers
        assert Purl.parse(str(mine)) == mine
        assert PackageURL.from_string(str(mine)).to_dict() == theirs.to_dict()

    @pytest.mark.parametrize("text", ["", "curl", "pkg:", "pkg:deb", "pkg:deb/", "pkg://", "pkg:/x"])
    def test_no_package_url(self, text: str) -> None:
        with pytest.raises(InvalidInput):
            Purl.parse(text)


class TestCovering:
    """A pattern covers what shares type, namespace and name, its version if it has one, and every qualifier it has."""

    FULL = Purl.parse("pkg:deb/debian/curl@1.0?arch=amd64&distro=debian-12")

    @pytest.mark.parametrize(
        ("pattern", "expected"),
        [
            ("pkg:deb/debian/curl", True), ("pkg:deb/debian/curl@1.0", True), ("pkg:deb/debian/curl@1.1", False),
            ("pkg:deb/debian/curl?distro=debian-12", True), ("pkg:deb/debian/curl?distro=debian-11", False),
            ("pkg:deb/debian/curl?arch=amd64&vendor=x", False), ("pkg:deb/ubuntu/curl", False), ("pkg:rpm/debian/curl", False),
            ("pkg:deb/debian/curl#sub", False), ("pkg:deb/debian/libcurl", False),
        ],
    )  # fmt: skip
    def test_subset(self, pattern: str, expected: bool) -> None:
        assert Purl.parse(pattern).covers(self.FULL) is expected

    def test_an_epoch_of_zero_and_an_empty_qualifier_are_left_out(self) -> None:
        assert Purl.parse("pkg:rpm/redhat/x@1?epoch=0&arch=").qualifiers == ()
        assert Purl.parse("pkg:rpm/redhat/x@1?epoch=1&vendor=0").qualifiers == (("epoch", "1"), ("vendor", "0"))

    def test_not_the_other_way(self) -> None:
        assert not self.FULL.covers(Purl.parse("pkg:deb/debian/curl"))

    def test_names_of_one_distribution(self) -> None:
        assert Purl.parse("pkg:rpm/amazon/curl").covers(Purl.parse("pkg:rpm/amzn/curl@1"))


class TestInspectorPackages:
    """Packages of the operating system need the distribution; version is [epoch:]version-release, an epoch of 0 is left out."""

    @pytest.mark.parametrize(
        ("values", "os", "expected"),
        [
            ({"name": "curl", "version": "7.88.1", "release": "10+deb12u8", "epoch": 0, "arch": "AMD64", "manager": "OS"}, "DEBIAN_12",
             "pkg:deb/debian/curl@7.88.1-10%2Bdeb12u8?arch=amd64&distro=debian-12"),
            ({"name": "dpkg", "version": "1.19", "epoch": 1, "manager": "OS"}, "UBUNTU_24_04", "pkg:deb/ubuntu/dpkg@1:1.19?distro=ubuntu-24.04"),
            ({"name": "libssh2", "version": "1.4.3", "release": "12.amzn2.2", "epoch": 2, "arch": "X86_64", "manager": "OS"}, "AMAZON_LINUX_2",
             "pkg:rpm/amzn/libssh2@1.4.3-12.amzn2.2?arch=x86_64&distro=amzn-2&epoch=2"),
            ({"name": "curl", "version": "8", "release": "r0", "arch": "ARM64", "manager": "OS"}, "ALPINE_3_20", "pkg:apk/alpine/curl@8-r0?arch=aarch64&distro=alpine-3.20"),
            ({"name": "curl", "version": "8", "manager": "OS"}, None, None), ({"name": "curl", "version": "8", "manager": "OS"}, "HAIKU_1", None),
            ({"name": "Django_X", "version": "1", "manager": "PIP"}, None, "pkg:pypi/django-x@1"),
            ({"name": "x", "version": "1", "manager": "PYTHONPKG"}, None, "pkg:pypi/x@1"), ({"name": "x", "version": "1", "manager": "POETRY"}, None, "pkg:pypi/x@1"),
            ({"name": "x", "version": "1", "manager": "PIPENV"}, None, "pkg:pypi/x@1"),
            ({"name": "@s/x", "version": "1", "manager": "NODEPKG"}, None, "pkg:npm/%40s/x@1"), ({"name": "x", "version": "1", "manager": "YARN"}, None, "pkg:npm/x@1"),
            ({"name": "org.a:b", "version": "1", "manager": "JAR"}, None, "pkg:maven/org.a/b@1"), ({"name": "org.a:b", "version": "1", "manager": "POM"}, None, "pkg:maven/org.a/b@1"),
            ({"name": "golang.org/x/text", "version": "0.3.3", "manager": "GOMOD"}, None, "pkg:golang/golang.org/x/text@0.3.3"),
            ({"name": "x", "version": "1", "manager": "GOBINARY"}, None, "pkg:golang/x@1"), ({"name": "x", "version": "1", "manager": "BUNDLER"}, None, "pkg:gem/x@1"),
            ({"name": "x", "version": "1", "manager": "CARGO"}, None, "pkg:cargo/x@1"), ({"name": "v/x", "version": "1", "manager": "COMPOSER"}, None, "pkg:composer/v/x@1"),
            ({"name": "X", "version": "1", "manager": "DOTNET_CORE"}, None, "pkg:nuget/X@1"),
            ({"name": "go/stdlib", "version": "1", "manager": "GENERIC"}, None, None), ({"name": "x", "version": "1", "manager": "JAVA"}, None, None),
            ({"name": "x", "version": "1"}, "DEBIAN_12", None),
            ({"name": "x", "version": "1", "manager": "GENERIC", "purl": "pkg:golang/stdlib@1.24.4"}, None, "pkg:golang/stdlib@1.24.4"),
            ({"name": "x", "manager": "PIP", "purl": "nonsense"}, None, None),
        ],
    )  # fmt: skip
    def test_mapping(self, values: dict[str, object], os: str | None, expected: str | None) -> None:
        found = package_purl(Package(**values), os=os)  # type: ignore[arg-type]
        assert (None if found is None else str(found)) == expected
