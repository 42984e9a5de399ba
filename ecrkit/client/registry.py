"""`Registry`: one object that wires the gateways to the domains, and adds nothing of its own.

Example:
    >>> from ecrkit import Registry
    >>> with Registry.local() as registry:
    ...     made = registry.gateway.create_repository("team/app")
    ...     [repository.name for repository in registry.repositories()]
    ['team/app']
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from ecrkit.aws.ecr import EcrGateway
from ecrkit.aws.workers import Workers
from ecrkit.client.connection import Connection
from ecrkit.errors import EcrkitError, InvalidInput
from ecrkit.ports import InspectorSource, OnProgress
from ecrkit.refs import partition_of_region

if TYPE_CHECKING:
    from ecrkit.access.gathering import DocumentSource
    from ecrkit.access.service import AccessService
    from ecrkit.admission import AdmissionConfiguration, Condition, Decision, VerdictService
    from ecrkit.auth.service import AuthService
    from ecrkit.auth.tokens import Token, TokenScope
    from ecrkit.cost.explorer import CostExplorer
    from ecrkit.cost.prices import PriceTable
    from ecrkit.cost.service import CostService
    from ecrkit.deployments import InUse
    from ecrkit.images.bases import BaseReport
    from ecrkit.lifecycle.service import LifecycleService
    from ecrkit.promotion.service import PromotionService
    from ecrkit.promotion.sources import Source
    from ecrkit.pull_through.service import PullThroughService
    from ecrkit.replication.configuration import Destination
    from ecrkit.replication.service import ReplicationService
    from ecrkit.scanning.archive import Archive, Layout, ObjectStore, Retention
    from ecrkit.scanning.service import ScanningService
    from ecrkit.snapshot import Selection, Snapshot

__all__ = ["Registry"]

_LAYERS_AT_ONCE: Final = 4
"""Layers that a copy moves at a time: each holds some parts of 10 MiB in memory."""


def _upstream(host: str) -> Source:
    from ecrkit.aws.oci_source import OciSource

    return OciSource(host)


class Registry(Connection):
    """One private registry: an account's, in one Region, or an embedded one.

    Make one with `Registry.from_session()` or `Registry.local()`. Threads may share it: its clients are made in the
    constructor, and its listings and services keep no state between calls. Use it as a context manager, or `close` it.

    A domain is a property that wires its service on first use, such as `lifecycle`. None of them calls AWS before one
    of its methods is called.
    """

    @cached_property
    def lifecycle(self) -> LifecycleService:
        """Lifecycle policies: dry run, ECR's own preview, comparison, plan and apply; for one repository and for all.

        A dry run reads the manifests of indexes; `inventory` says what that may mean.
        """
        from ecrkit.lifecycle.service import LifecycleService

        return LifecycleService(
            self._gateway,
            self._gateway,
            self._gateway,
            self._clock,
            repositories=self._gateway,
            resource_tags=self._gateway,
            storage=self._gateway,
            fan_out=Workers(self._session.workers),
        )

    @cached_property
    def cost(self) -> CostService:
        """Cost: what is stored and whose it is, what of it is waste, tags that carry a bill, prices.

        Exact bytes need the manifest of every active image; reading one may count as a pull of it.
        """
        from ecrkit.cost.service import CostService

        return CostService(
            repositories=self._gateway,
            images=self._gateway,
            manifests=self._gateway,
            resource_tags=self._gateway,
            clock=self._clock,
            region=self.region,
            fan_out=Workers(self._session.workers),
            price_list=None if self._engine is not None else self._price_list,
            explorer=self._cost_explorer(),
        )

    def _cost_explorer(self) -> CostExplorer:
        from ecrkit.cost.explorer import CostExplorer, NoBills

        if self._engine is not None:
            return CostExplorer(NoBills())
        from ecrkit.aws.cost_explorer import CostExplorerGateway, region_of_cost_explorer

        # Only one Region of a partition has Cost Explorer; its client is made when a bill is asked for.
        region = region_of_cost_explorer(self.region)
        return CostExplorer(CostExplorerGateway(lambda: self.in_region(region).aws.caller("ce")))

    def _price_list(self, region: str, as_of: dt.date) -> PriceTable:
        from ecrkit.aws.pricing import PRICING_REGION, PricingGateway

        elsewhere = self._session.in_region(PRICING_REGION)
        try:
            return PricingGateway(elsewhere.caller("pricing")).prices(region, as_of=as_of)
        finally:
            elsewhere.close()

    def in_use(
        self,
        *,
        pods: Mapping[str, Any] | Iterable[Mapping[str, Any]] = (),
        cluster: str = "",
        ecs: bool | Iterable[str] = True,
        task_definitions: bool = False,
        functions: bool = True,
    ) -> InUse:
        """Return the images that run: in Pods that the caller brings, in ECS, and in Lambda functions of this Region.

        Join it by `|` with those of other clusters, Regions and accounts, and with other signs of use
        (`ecrkit.deployments`). What may not be asked is a gap of the set, never silence.

        Args:
            pods: what `kubectl get pods -A -o json` prints, parsed.
            cluster: the name of the Pods' cluster, for people.
            ecs: ask ECS: of all clusters, of those named, or not at all.
            task_definitions: ask ECS for the newest task definition of every family too, for tasks that only a schedule
                or a pipeline starts; one call each.
            functions: ask Lambda.

        Raises:
            InvalidInput: `pods` holds none.

        Example:
            >>> from ecrkit import Registry
            >>> pod = {"kind": "Pod", "metadata": {"name": "web"}, "spec": {"containers": [
            ...     {"name": "web", "image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/team/web:v1"}]}}
            >>> with Registry.local() as registry:
            ...     registry.in_use(pods=pod, cluster="prod").repositories
            ('team/web',)
        """
        from ecrkit.deployments import InUse, from_pods

        found = from_pods(pods, cluster=cluster) if pods else InUse()
        if self._engine is not None:
            return found  # the embedded ECR has no neighbours that run anything
        if ecs:
            from ecrkit.aws.ecs import EcsGateway

            found |= EcsGateway(self._session.caller("ecs")).in_use(None if isinstance(ecs, bool) else ecs)
        if task_definitions:
            from ecrkit.aws.ecs import EcsGateway

            found |= EcsGateway(self._session.caller("ecs")).startable()
        if functions:
            from ecrkit.aws.functions import LambdaGateway

            found |= LambdaGateway(self._session.caller("lambda")).in_use()
        return found

    def snapshot(
        self,
        repositories: Selection = "*",
        *,
        resource_tags: Mapping[str, str] | None = None,
        manifests: bool = True,
        tags: bool = True,
        policies: bool = True,
        scans: Literal["summary"] | None = "summary",
        settings: bool = True,
        cache: Path | str | None = None,
        resume: Path | str | None = None,
        on_progress: OnProgress | None = None,
    ) -> Snapshot:
        """Return the state of the registry: repositories, images of every status, manifests, policies, settings.

        What cannot be read becomes a gap of the snapshot and no fault; only the listing of repositories must succeed,
        and the credentials must last. Repositories are read side by side and stay packed, so memory is bounded by the
        packed snapshot, or with `resume` by little.

        Reading a manifest may count as a pull and refresh `last_pulled_at`, which lifecycle rules look at; whether it
        does is not documented. Archived images are not read, as they cannot be pulled. A progress value says so before
        the first one is read; an exclusion of the reading principal from pull time updates avoids it, and
        `manifests=False` reads none.

        Calls: one for each 1000 repositories, eight for the settings, and for each repository one for each 1000 images,
        one for its resource tags, two for its policies, and one for each 100 manifests that the cache does not have.

        Args:
            repositories: a name or pattern (`*` stands for any characters), several, or a function of the record.
            resource_tags: only repositories that have all these tags; the tags of every one are read for it.
            manifests: read the manifests, which layers, stored bytes and the graph between images need.
            tags: read the resource tags.
            policies: read lifecycle and repository policies.
            scans: `summary` keeps what DescribeImages says of scans; it costs no calls.
            settings: read the registry's settings.
            cache: a folder that keeps manifests by digest for ever; it may be shared by registries and processes.
            resume: a work file. A crawl that died goes on from it when it is called again with the same arguments;
                repositories with gaps are tried again. When it has ended the file is a saved snapshot, from which the
                one returned reads.
            on_progress: called after each repository.

        Raises:
            InvalidInput: an argument is wrong, or the work file belongs to another crawl.
            AwsCallFailed: the repositories cannot be listed.
            CredentialsMissing: there are no credentials, or none any more.

        Example:
            >>> from ecrkit import Registry
            >>> with Registry.local() as registry:
            ...     made = registry.gateway.create_repository("team/app")
            ...     snapshot = registry.snapshot("team/*")
            >>> [repository.name for repository in snapshot.repositories]
            ['team/app']
        """
        from ecrkit.snapshot import take

        return take(
            self._gateway,
            clock=self._clock,
            fan_out=Workers(self._session.workers),
            account=self._whose,
            region=self.region,
            repositories=repositories,
            resource_tags=resource_tags,
            manifests=manifests,
            tags=tags,
            policies=policies,
            scans=scans,
            settings=settings,
            cache=cache,
            resume=resume,
            on_progress=on_progress,
            workers=self._session.workers,
        )

    @cached_property
    def scanning(self) -> ScanningService:
        """Scans: read results, wait for them, judge them, many at a time; plan and apply the scanning configuration.

        Inspector is a service of its own, with permissions of its own: `scanning.with_inspector(registry.inspector)`
        asks it too.
        """
        from ecrkit.scanning.service import ScanningService

        return ScanningService(
            source=self._gateway,
            tags=self._gateway,
            manifests=self._gateway,
            fan_out=Workers(self._session.workers),
            clock=self._clock,
            store=self._gateway,
        )

    def admission(
        self,
        configuration: AdmissionConfiguration,
        *,
        also: Iterable[Registry] = (),
        conditions: Iterable[Condition] = (),
        bases: BaseReport | None = None,
        observers: Sequence[Callable[[Decision, float], None]] = (),
    ) -> VerdictService:
        """Return the service that answers whether images of this registry may run; close it after use.

        `also` are registries of other accounts and Regions whose images are judged too. `conditions` answer what
        profiles ask for by name: unless given, `signed`, `not-archived` and `provenance` are asked of the registry that
        has the image, and `base-fresh` of `bases`, a report on this registry, by default the configuration's.

        Raises:
            InvalidInput: a profile asks for a condition that nothing answers.
            AwsCallFailed: the account number had to be asked, and could not.

        Example:
            >>> from ecrkit.admission import admission_configuration
            >>> gate = '{"profiles": [{"name": "all", "gate": {"limits": {"CRITICAL": 0}}}]}'
            >>> with Registry.local() as registry, registry.admission(admission_configuration(gate)) as service:
            ...     service.decide("nginx:1").outcome
            'fail'
        """
        from ecrkit.admission.sources import RegistryFindings
        from ecrkit.client.admission import build

        judged = {(r._whose(), r.region): r for r in (*also, self)}
        report = configuration.bases if bases is None else bases
        return build(
            configuration,
            {place: RegistryFindings(r.scanning) for place, r in judged.items()},
            gateways={place: r._gateway for place, r in judged.items()},
            conditions=conditions,
            bases=None if report is None else {(self._whose(), self.region): report},
            observers=observers,
            clock=self._clock,
        )

    @cached_property
    def access(self) -> AccessService:
        """Access: plan and apply policies, explain pulls and pushes, diagnose failed ones, find what is open.

        Explanations read IAM with permissions of its own (`aws.iam_documents.IamDocuments`); an embedded registry
        asks its engine's principals.
        """
        from ecrkit.access.service import AccessService

        return AccessService(
            self._gateway,
            self._clock,
            self._whose,
            self.region,
            partition_of_region(self.region),
            documents=self._documents(),
            registries=self._gateway_of,
            probes=self._gateway_of,
            repositories=self._gateway,
            fan_out=Workers(self._session.workers),
        )

    def _documents(self) -> DocumentSource | None:
        if self._engine is not None:
            return self._engine.enforcement
        from ecrkit.aws.iam_documents import IamDocuments

        return IamDocuments(self._session.caller("iam"))

    def _gateway_of(self, account: str, region: str) -> EcrGateway | None:
        if region != self.region:
            return None
        if account == self._whose():
            return self._gateway
        return EcrGateway(self._session.caller("ecr"), registry_id=account, workers=self._session.workers)

    def _whose(self) -> str:
        if self._engine is not None:
            return self.registry_id or self._account or self._engine.account
        return self.registry_id or self._own_account()

    @cached_property
    def replication(self) -> ReplicationService:
        """Replication: rules planned, covered and applied, images waited for, Regions compared, failovers checked.

        Other Regions and accounts are read with this registry's credentials; `replication.with_registries` takes
        others, such as those of an assumed role.
        """
        from ecrkit.client.replication import documents
        from ecrkit.replication.service import ReplicationService

        return ReplicationService(
            source=self._gateway,
            clock=self._clock,
            fan_out=Workers(self._session.workers),
            where=self._place,
            registries=self._gateway_in,
            allows=self._destination_allows,
            documents=documents,
        )

    @cached_property
    def pull_through(self) -> PullThroughService:
        """The pull-through cache: rules planned and applied, names rewritten, what is cached and how it stands.

        Nothing of it pulls an image, so that asking never fetches one.
        """
        from ecrkit.pull_through.service import PullThroughService
        from ecrkit.refs import RegistryHost

        return PullThroughService(self._gateway, self._clock, lambda: RegistryHost.private(self._whose(), self.region))

    def _place(self) -> Destination:
        from ecrkit.replication.configuration import Destination

        return Destination(self.region, self._whose())

    def _gateway_in(self, account: str, region: str) -> EcrGateway:
        own = account == self.replication.home.account  # asked once, and kept
        return self.in_region(region, account=None if own else account).gateway

    def _destination_allows(self, destination: Destination) -> Callable[[str, str], bool | None] | None:
        from ecrkit.client.replication import policy_allows

        try:
            text = self._gateway_in(destination.account, destination.region).registry_policy()
        except EcrkitError:
            return None  # ECR tells a registry's policy to its own account only
        return policy_allows(self.replication.home, destination, text)

    @cached_property
    def promotion(self) -> PromotionService:
        """Promotion: tags given by digest, copies from any registry to ECR, promotions with gates, rollbacks.

        Other Regions and accounts are reached with this registry's credentials; `promotion.with_registries` takes
        others. Registries that are not private ECR are read without a login; `promotion.with_upstream` takes one. An
        embedded registry reads none of them unless a reader is passed.
        """
        from ecrkit.promotion.service import PromotionService

        def reach(account: str, region: str) -> EcrGateway:
            # Named by its number even when it is the caller's own, whose number only another call would tell.
            return self.in_region(region, account=account).gateway

        return PromotionService(
            self._gateway,
            self._clock,
            Workers(min(_LAYERS_AT_ONCE, self._session.workers)),
            reach,
            None if self._engine is not None else _upstream,
        )

    @cached_property
    def inspector(self) -> InspectorSource:
        """Inspector's own view of the images: EPSS, exploits, where they are in use, and whether they are watched."""
        if self._engine is not None:
            from ecrkit.local.inspector import EmbeddedInspector

            return EmbeddedInspector(engine=self._engine, account=self._account, region=self.region)
        from ecrkit.aws.inspector import InspectorGateway

        return InspectorGateway(self._session.caller("inspector2"), account=self.registry_id or self._own_account)

    def scan_archive(
        self,
        objects: ObjectStore | str,
        *,
        layout: Layout | None = None,
        retention: Retention | None = None,
        require_lock: bool = False,
        scan_type: str | None = None,
    ) -> Archive:
        """Return an archive of this registry's scans: in the S3 bucket of that name, or in any store of objects.

        The caller's account must own the bucket, so that a bucket that changed hands gets nothing. Nothing is called
        yet, except for the account number when the registry was made without one.

        Raises:
            InvalidInput: the embedded ECR was given the name of a bucket, or an argument is wrong.

        Example:
            >>> from ecrkit.scanning.archive import MemoryObjects
            >>> with Registry.local() as registry:
            ...     registry.scan_archive(MemoryObjects()).place.region
            'us-east-1'
        """
        from ecrkit.scanning.archive import Archive, Place

        if isinstance(objects, str):
            if self._engine is not None:
                message = "the embedded ECR has no S3; pass a store of objects, such as MemoryObjects()"
                raise InvalidInput.single("no archive", "objects", message)
            from ecrkit.aws.s3 import S3Objects

            objects = S3Objects(self._session.caller("s3"), objects, owner=self._own_account())
        return Archive(
            objects,
            place=Place(self._whose(), self.region),
            layout=layout,
            source=self._gateway,
            clock=self._clock,
            retention=retention,
            require_lock=require_lock,
            scan_type=scan_type,
        )

    @cached_property
    def auth(self) -> AuthService:
        """Registry tokens, kept fresh, and what carries them: Docker's configuration, pull secrets.

        A token of the embedded ECR lives in the engine's time, and opens what `ecrkit.local.serve` serves.
        """
        from ecrkit.auth.provider import TokenProvider
        from ecrkit.auth.service import AuthService

        return AuthService(TokenProvider(self._new_token, clock=self._clock), self.region)

    def _new_token(self, scope: TokenScope) -> Token:
        at = self._clock.now()
        if scope.kind == "private" and scope.region == self.region:
            return self._gateway.authorization_token(issued_at=at)
        if self._engine is not None:
            if scope.kind == "public":
                raise InvalidInput.single("no token", "scope", "the embedded ECR has no ECR Public")
            return self.in_region(scope.region).gateway.authorization_token(issued_at=at)
        elsewhere = self._session.in_region(scope.region)
        try:
            if scope.kind == "private":
                return EcrGateway(elsewhere.caller("ecr")).authorization_token(issued_at=at)
            from ecrkit.aws.ecr_public import EcrPublicGateway

            return EcrPublicGateway(elsewhere.caller("ecr-public")).authorization_token(issued_at=at)
        finally:
            elsewhere.close()

    def _own_account(self) -> str:
        return str(self._session.caller("sts").call("GetCallerIdentity", {})["Account"])
