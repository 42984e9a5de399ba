"""How a registry is reached, and what it holds."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self, get_args

from typing_extensions import override

from ecrkit.aws.downloads import Fetch, fetch_over_http
from ecrkit.aws.ecr import EcrGateway
from ecrkit.aws.session import AwsSession, offline_session
from ecrkit.errors import Denied, InvalidInput, NotFound
from ecrkit.images.inventory import Inventory
from ecrkit.ports import Clock, Listing, OnProgress
from ecrkit.records import Image, Progress, RawManifest, Repository

if TYPE_CHECKING:
    import boto3
    from botocore.client import BaseClient

    from ecrkit.images.config import ImageConfig
    from ecrkit.local import Engine
    from ecrkit.local.enforcement import PrincipalLike
    from ecrkit.refs import ImageRef

__all__ = ["Connection", "WhichManifests"]

WhichManifests = Literal["indexes", "all", "none"]
"""Which manifests an inventory reads."""


_PIECE: Final = 1024 * 1024


class Connection:
    """What every `Registry` has before any domain: its gateway, its contents, and its end."""

    def __init__(
        self,
        session: AwsSession,
        *,
        registry_id: str | None = None,
        clock: Clock | None = None,
        engine: Engine | None = None,
        recipe: Mapping[str, Any] | None = None,
        local: Mapping[str, Any] | None = None,
    ) -> None:
        self._session = session
        self._clock: Clock = clock if clock is not None else session.clock
        self._engine = engine
        self._recipe = recipe
        self._local = local
        self._others: dict[tuple[str | None, str], Self] = {}
        self._lock = threading.Lock()
        self._account: str | None = None
        self._gateway = EcrGateway(
            session.caller("ecr"),
            registry_id=registry_id,
            workers=session.workers,
            fetch=fetch_over_http if engine is None else _fetch_from(engine),
        )

    # ---- making one

    @classmethod
    def from_session(
        cls,
        session: boto3.Session | None = None,
        *,
        region: str | None = None,
        registry_id: str | None = None,
        endpoint_url: str | Mapping[str, str] | None = None,
        workers: int = 8,
        attempts: int = 10,
        fast_parser: bool = True,
    ) -> Self:
        """Return the registry that a boto3 session reaches; nothing is called yet.

        Args:
            session: with the credentials to use; by default boto3's usual chain (environment, profile, role).
            region: by default the session's.
            registry_id: the account whose registry it is, when it is another account's.
            endpoint_url: instead of AWS's endpoints: one URL for all services, or one for each service named.
            workers: how many calls may run at a time; each has a connection of its own.
            attempts: how often a call is tried in all, throttles and failures together.
            fast_parser: parse large answers with ecrkit's own parser; botocore's is slower and gives the same.

        Raises:
            InvalidInput: no region is known, or an argument is wrong.
            CredentialsMissing: the profile that the environment names does not exist.
        """
        options = {
            "region": region,
            "registry_id": registry_id,
            "endpoint_url": endpoint_url,
            "workers": workers,
            "attempts": attempts,
            "fast_parser": fast_parser,
        }
        opened = AwsSession(
            session,
            region=region,
            endpoint_url=endpoint_url,
            workers=workers,
            attempts=attempts,
            fast_parser=fast_parser,
        )
        # The region is written down, so that a copy in another process does not depend on that one's environment.
        recipe = None if session is not None else options | {"region": opened.region}
        return cls(opened, registry_id=registry_id, recipe=recipe)

    @classmethod
    def local(
        cls,
        engine: Engine | None = None,
        *,
        account: str | None = None,
        region: str | None = None,
        principals: Mapping[str, PrincipalLike] | None = None,
        caller: str | None = None,
        workers: int = 8,
        attempts: int = 10,
        fast_parser: bool = True,
    ) -> Self:
        """Return a registry that an embedded ECR answers in this process; no account, no network, no credentials.

        Services and waiters live in the engine's time, which stands still until it is advanced; pacing does not.

        Args:
            engine: the embedded ECR; a new, empty one by default. Several registries may share one.
            account: whose registry it is; by default the engine's account.
            region: by default the engine's.
            principals: who may call, by name: identity policies of a role, or a `local.LocalPrincipal`. Every call to
                the engine is then decided by IAM's evaluation logic, as `local.Engine.enforce` says.
            caller: who calls through this registry: a name of `principals` or an ARN; by default the root user.
            workers: how many calls may run at a time.
            attempts: how often a call is tried in all.
            fast_parser: as in `from_session`.

        Raises:
            InvalidInput: the account is no 12-digit number, the caller is no principal, or another argument is wrong.

        Example:
            >>> from ecrkit import Registry
            >>> from ecrkit.access import Scope, presets
            >>> node = presets.pull(Scope("123456789012", "us-east-1"))
            >>> registry = Registry.local(principals={"node": node}, caller="node")
            >>> registry.repositories().all()
            Traceback (most recent call last):
            ecrkit.errors.Denied: ...
        """
        from ecrkit.local import Engine, attach

        if account is not None and not (len(account) == 12 and account.isascii() and account.isdigit()):
            raise InvalidInput.single("no embedded registry", "account", f"must be 12 digits, not {account!r:.60}")
        if engine is None:
            plain = Engine()
            engine = Engine(account=account or plain.account, region=region or plain.region)
        if principals is not None:
            engine.enforce(principals)
        target = account or engine.account
        guard = engine.enforcement
        own = target if guard is None or caller is None else guard.account_of(caller)
        if own is None:
            raise InvalidInput.single("no embedded registry", "caller", f"{caller!r:.200} is no principal")
        where = region or engine.region
        opened = AwsSession(
            offline_session(where),
            region=where,
            workers=workers,
            attempts=attempts,
            fast_parser=fast_parser,
            # Published quotas are AWS's; the embedded ECR throttles only when it is told to.
            rates={},
        )
        # A principal of another account addresses this registry as it would at AWS: by registryId.
        attach(opened.client("ecr"), engine, account=account if own == target else own, region=where, caller=caller)
        settings = {"caller": caller, "workers": workers, "attempts": attempts, "fast_parser": fast_parser}
        foreign = None if own == target else target
        made = cls(opened, clock=engine.clock, engine=engine, registry_id=foreign, local=settings)
        made._account = account
        return made

    def in_region(self, region: str, *, account: str | None = None) -> Self:
        """Return another registry, reached with the same credentials and settings; nothing is called yet.

        It is kept, and closed with this one. Asked for twice, the same is returned.

        Args:
            region: its Region.
            account: whose registry it is; by default the same account's as this one.

        Raises:
            InvalidInput: the Region cannot be addressed, or the account is no 12-digit number.

        Example:
            >>> from ecrkit import Registry
            >>> with Registry.local() as registry:
            ...     registry.in_region("eu-west-1")
            <Registry own in eu-west-1 (embedded)>
        """
        with self._lock:
            whose = account or self.registry_id or self._account
            if region == self.region and whose == (self.registry_id or self._account):
                return self
            found = self._others.get((whose, region))
            if found is None:
                if self._engine is not None:
                    settings = self._local or {}
                    found = type(self).local(self._engine, account=whose, region=region, **settings)
                else:
                    found = type(self)(self._session.in_region(region), registry_id=whose, clock=self._clock)
                self._others[whose, region] = found
            return found

    # ---- what it stands on

    @property
    def gateway(self) -> EcrGateway:
        """The gateway to ECR: one method for each question and change."""
        return self._gateway

    @property
    def aws(self) -> AwsSession:
        """The clients of this registry's account and Region, for gateways to other services."""
        return self._session

    @property
    def client(self) -> BaseClient:
        """The boto3 client for ECR, for what ecrkit does not offer.

        Its calls are tried once, are not paced, and raise botocore's errors.
        """
        return self._session.client("ecr")

    @property
    def engine(self) -> Engine:
        """The embedded ECR behind a `Registry.local()`.

        Raises:
            TypeError: AWS answers this registry.
        """
        if self._engine is None:
            raise TypeError("AWS answers this registry; only Registry.local() has an engine")
        return self._engine

    @property
    def region(self) -> str:
        """The Region of the registry."""
        return self._session.region

    @property
    def registry_id(self) -> str | None:
        """The account whose registry it is, when it was named; None is the caller's own."""
        return self._gateway.registry_id

    @property
    def clock(self) -> Clock:
        """The clock of services and waiters."""
        return self._clock

    # ---- what it holds

    def repositories(self) -> Listing[Repository]:
        """Return every repository, lazily. Calls: one for each 1000."""
        return self._gateway.repositories()

    def repository(self, name: str) -> Repository:
        """Return one repository.

        Raises:
            NotFound: there is none of that name.
        """
        return self._gateway.repository(name)

    def images(self, repository: str) -> Listing[Image]:
        """Return every image of a repository, of every status, lazily. Calls: one for each 1000.

        Raises:
            NotFound: when walked, and there is no such repository.
        """
        return self._gateway.images(repository)

    def inventory(
        self, repository: str, *, manifests: WhichManifests = "indexes", on_progress: OnProgress | None = None
    ) -> Inventory:
        """Return a repository's images of every status, with the graph between them and the manifests asked for.

        DescribeImages tells neither the children of an index nor the layers of an image; both stand in manifests.
        Reading one may count as a pull of that image and refresh its `last_pulled_at`, which lifecycle rules on pull
        times look at; whether it does is not documented. An exclusion of the reading principal from pull time
        updates avoids it.

        Only active images are read, since an archived one cannot be pulled. What could not be read or parsed is
        unknown in the inventory and never empty: see its `opaque_indexes` and `faulty_manifests`.

        Calls: one for each 1000 images, and one for each 100 manifests.

        Args:
            repository: its name.
            manifests: `indexes` reads those of indexes, which lifecycle rules need. `all` reads every one, which
                stored bytes need; texts are parsed as they come and not kept. `none` reads none, and leaves every
                index opaque.
            on_progress: called after each step, with `what` being `images` or `manifests`.

        Raises:
            InvalidInput: `manifests` is none of the three.
            NotFound: no such repository.

        Example:
            >>> from ecrkit import Registry
            >>> with Registry.local() as registry:
            ...     made = registry.gateway.create_repository("team/app")
            ...     registry.inventory("team/app", manifests="all")
            <Inventory of team/app: 0 images, 0 opaque indexes>
        """
        if manifests not in get_args(WhichManifests):
            choices = ", ".join(get_args(WhichManifests))
            raise InvalidInput.single("no inventory", "manifests", f"must be one of {choices}, not {manifests!r:.60}")
        images = self._gateway.images(repository).all()
        if on_progress is not None:
            on_progress(Progress(done=len(images), total=len(images), what="images"))
        found = Inventory(images, repository=repository)
        wanted = [
            image.digest
            for image in images
            if image.status == "ACTIVE" and (manifests == "all" or (manifests == "indexes" and image.is_index))
        ]
        if not wanted:
            return found
        read = self._gateway.each_manifest(repository, wanted, on_progress=on_progress)
        return found.with_manifests(manifest for manifest in read if isinstance(manifest, RawManifest))

    def image_config(self, ref: ImageRef | str, *, platform: str | None = None) -> ImageConfig:
        """Return the config of an image: what it runs as, and which instruction made each of its layers.

        Reading the manifest may count as a pull of the image. Calls: one for the manifest, one more for the child of an
        index, one for the config's URL, and the download.

        Args:
            ref: `repository:tag` or `repository@digest`, with or without the registry's host.
            platform: which child of an index, such as `linux/arm64`; needed when there are several.

        Raises:
            InvalidInput: the reference names no image, an index has no such platform or several, or the image has no
                config.
            NotFound: there is no such image.
            Rejected: ECR did not give the manifest, as for an archived image.

        Example:
            >>> from ecrkit import Registry
            >>> from ecrkit.local.images import image, layer
            >>> app = image([layer({"app": "1"})], platform="linux/arm64")
            >>> with Registry.local() as registry:
            ...     made = registry.gateway.create_repository("team/app")
            ...     pushed = app.push(registry.client, "team/app", "v1")
            ...     str(registry.image_config("team/app:v1").platform)
            'linux/arm64'
        """
        from ecrkit.client.contents import image_config

        return image_config(self._gateway, ref, platform)

    def image_configs(self, inventory: Inventory, digests: Iterable[str] | None = None) -> dict[str, ImageConfig]:
        """Return the configs of an inventory's images by the config's own digest, as functions of `images` take them.

        Of images whose manifest was read; configs that cannot be read are absent. Calls: a URL and a download each.

        Args:
            inventory: of one repository, with manifests, which knows its name.
            digests: of which images; by default of all that are container images.

        Raises:
            InvalidInput: the inventory does not know its name.
        """
        from ecrkit.client.contents import image_configs

        return image_configs(self._gateway, inventory, digests, workers=self._session.workers)

    # ---- its end

    def close(self) -> None:
        """Let go of the connections, those to other Regions too; later calls raise RuntimeError."""
        with self._lock:
            others = list(self._others.values())
        for other in others:
            other.close()
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @override
    def __repr__(self) -> str:
        where = "embedded" if self._engine is not None else "AWS"
        whose = self.registry_id or "own"
        return f"<Registry {whose} in {self.region} ({where})>"

    @override
    def __reduce__(self) -> tuple[Any, ...]:
        if self._recipe is None:
            kind = "an embedded registry lives" if self._engine is not None else "a boto3 session lives"
            raise TypeError(f"{kind} in one process and cannot be pickled; make a Registry in each process")
        return _rebuild, (type(self), dict(self._recipe))


def _fetch_from(engine: Engine) -> Fetch:
    def fetch(url: str, start: int = 0) -> Iterator[bytes]:
        from ecrkit.local import ServiceFault

        try:
            data = memoryview(engine.fetch(url))
            # In pieces, as from a network: who copies a layer holds one part of it.
            for first in range(start, len(data), _PIECE):
                yield bytes(data[first : first + _PIECE])
        except ServiceFault as fault:
            kind = Denied if fault.status == 403 else NotFound
            raise kind(str(fault), operation="download", code=fault.code) from fault

    return fetch


def _rebuild(cls: type[Connection], recipe: dict[str, Any]) -> Connection:
    return cls.from_session(**recipe)
