"""Reading the three VEX formats into the same statements."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from ecrkit.errors import InvalidInput
from ecrkit.scanning._documents import Checker
from ecrkit.scanning._times import scan_time
from ecrkit.scanning.purl import Purl
from ecrkit.scanning.vex import VexProduct, VexStatement, VexStatus

__all__ = ["read_vex"]

_STATUSES: Final[dict[str, VexStatus]] = {
    "not_affected": "not_affected",
    "fixed": "fixed",
    "affected": "affected",
    "under_investigation": "under_investigation",
}
_JUSTIFICATIONS: Final = frozenset(
    {
        "component_not_present",
        "vulnerable_code_not_present",
        "vulnerable_code_not_in_execute_path",
        "vulnerable_code_cannot_be_controlled_by_adversary",
        "inline_mitigations_already_exist",
    }
)
_Unusable = list[tuple[str, str]]


def read_vex(raw: Mapping[str, Any], name: str | None) -> tuple[list[VexStatement], _Unusable]:
    """Return the statements of a document, and those that cannot be used with the reason."""
    if "openvex" in str(raw.get("@context", "")).lower():
        return _read(_openvex, "not an OpenVEX document", raw, name)
    head = raw.get("document")
    if isinstance(head, Mapping) and "csaf_version" in head:
        return _read(_csaf, "not a CSAF document", raw, name)
    if str(raw.get("bomFormat", "")).lower() == "cyclonedx":
        return _read(_cyclonedx, "not a CycloneDX document", raw, name)
    raise InvalidInput.single(
        "not a VEX document",
        "$",
        "is neither OpenVEX (@context), CSAF (document.csaf_version) nor CycloneDX (bomFormat)",
    )


def _read(reader: Any, what: str, raw: Mapping[str, Any], name: str | None) -> tuple[list[VexStatement], _Unusable]:
    check = Checker(what)
    unusable: _Unusable = []
    statements = list(reader(check, raw, name, unusable))
    if check.problems:
        raise InvalidInput(what, check.problems)
    return statements, unusable


def _time(check: Checker, value: object, path: str) -> dt.datetime | None:
    if value is None:
        return None
    try:
        return scan_time(value)
    except ValueError as fault:
        check.problem(path, str(fault))
        return None


def _purl(check: Checker, value: object, path: str) -> Purl | None:
    try:
        return Purl.parse(value) if isinstance(value, str) else None
    except InvalidInput as fault:
        check.problem(path, f"is no package URL: {fault.problems[0].message}")
        return None


def _openvex(check: Checker, raw: Mapping[str, Any], name: str | None, unusable: _Unusable) -> Iterator[VexStatement]:
    title = name or check.text(raw, "@id", "$")
    author = check.text(raw, "author", "$")
    base = _time(check, raw.get("last_updated") or raw.get("timestamp"), "$.timestamp")
    if not isinstance(raw.get("statements"), list):
        check.problem("$.statements", "must be a list")
        return
    for number, entry in enumerate(raw["statements"]):
        path = f"$.statements[{number}]"
        item = check.mapping(entry, path)
        given = item.get("vulnerability")
        # Version 0.0 wrote the id as plain text.
        vulnerability = {"name": given} if isinstance(given, str) else check.mapping(given, f"{path}.vulnerability")
        ids = [vulnerability.get("name"), *check.items(vulnerability.get("aliases"), f"{path}.vulnerability.aliases")]
        names = tuple(dict.fromkeys(i for i in ids if isinstance(i, str) and i))
        if not names:
            check.problem(f"{path}.vulnerability.name", "is missing")
        status = _STATUSES.get(str(item.get("status")))
        if status is None:
            check.problem(f"{path}.status", f"must be one of {', '.join(_STATUSES)}, not {item.get('status')!r:.40}")
        justification = check.text(item, "justification", path)
        impact = check.text(item, "impact_statement", path)
        if status == "not_affected" and justification is None and impact is None:
            check.problem(path, "not_affected needs a justification or an impact_statement")
        if justification is not None and justification not in _JUSTIFICATIONS:
            check.problem(f"{path}.justification", f"must be one of {', '.join(sorted(_JUSTIFICATIONS))}")
        moment = _time(check, item.get("last_updated") or item.get("timestamp"), f"{path}.timestamp") or base
        products = tuple(_openvex_products(check, item, path))
        if not products:
            unusable.append((f"{title or 'OpenVEX'} {path}", "names no product"))
        if names and status is not None and products:
            yield VexStatement(
                ids=names,
                status=status,
                products=products,
                timestamp=moment,
                justification=justification,
                text=impact or check.text(item, "action_statement", path),
                author=author,
                document=title,
                path=path,
            )


def _openvex_products(check: Checker, item: Mapping[str, Any], path: str) -> Iterator[VexProduct]:
    for number, entry in enumerate(check.items(item.get("products"), f"{path}.products")):
        here = f"{path}.products[{number}]"
        # Version 0.0 wrote products as plain texts.
        product = {"@id": entry} if isinstance(entry, str) else check.mapping(entry, here)
        purls, digests = _openvex_component(check, product, here)
        parts: list[Purl] = []
        listed = check.items(product.get("subcomponents"), f"{here}.subcomponents")
        for position, inner in enumerate(listed):
            place = f"{here}.subcomponents[{position}]"
            component = {"@id": inner} if isinstance(inner, str) else check.mapping(inner, place)
            parts.extend(_openvex_component(check, component, place)[0])
        if listed and not parts:
            # Dropping what cannot be read would make the statement about everything in the product.
            check.problem(f"{here}.subcomponents", "names no package URL")
        if purls or digests:
            yield VexProduct(purls=tuple(purls), digests=tuple(digests), components=tuple(parts))


def _openvex_component(check: Checker, item: Mapping[str, Any], path: str) -> tuple[list[Purl], list[str]]:
    identifiers = check.mapping(item.get("identifiers"), f"{path}.identifiers")
    purls = []
    for value, here in ((item.get("@id"), f"{path}.@id"), (identifiers.get("purl"), f"{path}.identifiers.purl")):
        if isinstance(value, str) and value.startswith("pkg:") and (purl := _purl(check, value, here)) is not None:
            purls.append(purl)
    hashes = check.mapping(item.get("hashes"), f"{path}.hashes")
    digests = [
        f"sha256:{str(v).removeprefix('sha256:')}" for k, v in hashes.items() if k.lower() in ("sha-256", "sha256")
    ]
    return list(dict.fromkeys(purls)), digests


_CSAF_STATUSES: Final[dict[str, VexStatus]] = {
    "known_not_affected": "not_affected",
    "fixed": "fixed",
    "first_fixed": "fixed",
    "recommended": "fixed",
    "known_affected": "affected",
    "first_affected": "affected",
    "last_affected": "affected",
    "under_investigation": "under_investigation",
}


def _csaf(check: Checker, raw: Mapping[str, Any], name: str | None, unusable: _Unusable) -> Iterator[VexStatement]:
    head = check.mapping(raw.get("document"), "$.document")
    tracking = check.mapping(head.get("tracking"), "$.document.tracking")
    title = name or check.text(tracking, "id", "$.document.tracking")
    author = check.text(check.mapping(head.get("publisher"), "$.document.publisher"), "name", "$.document.publisher")
    moment = _time(check, tracking.get("current_release_date"), "$.document.tracking.current_release_date")
    products = _csaf_products(check, check.mapping(raw.get("product_tree"), "$.product_tree"))
    for number, entry in enumerate(check.items(raw.get("vulnerabilities"), "$.vulnerabilities")):
        path = f"$.vulnerabilities[{number}]"
        item = check.mapping(entry, path)
        others = [check.mapping(i, f"{path}.ids").get("text") for i in check.items(item.get("ids"), f"{path}.ids")]
        names = tuple(dict.fromkeys(i for i in (item.get("cve"), *others) if isinstance(i, str) and i))
        if not names:
            check.problem(path, "has neither cve nor ids")
            continue
        flags = _by_product(check, item, "flags", "label", path)
        threats = _by_product(check, item, "threats", "details", path)
        for member, ids in check.mapping(item.get("product_status"), f"{path}.product_status").items():
            here = f"{path}.product_status.{member}"
            status = _CSAF_STATUSES.get(member)
            if status is None:
                check.problem(here, f"must be one of {', '.join(_CSAF_STATUSES)}")
                continue
            # One statement per product: each may have a justification of its own.
            for position, product_id in enumerate(check.items(ids, here)):
                product = products.get(str(product_id))
                if product is None:
                    check.problem(f"{here}[{position}]", f"{product_id!r:.60} is not in the product tree")
                elif not product.purls and not product.digests:
                    unusable.append((f"{title or 'CSAF'} {here}[{position}]", "the product has no package URL or hash"))
                else:
                    yield VexStatement(
                        ids=names,
                        status=status,
                        products=(product,),
                        timestamp=_time(check, item.get("release_date"), f"{path}.release_date")
                        if moment is None
                        else moment,
                        justification=flags.get(str(product_id)),
                        text=threats.get(str(product_id)),
                        author=author,
                        document=title,
                        path=f"{here}[{position}]",
                    )


def _by_product(check: Checker, item: Mapping[str, Any], member: str, value: str, path: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, entry in enumerate(check.items(item.get(member), f"{path}.{member}")):
        inner = check.mapping(entry, f"{path}.{member}[{number}]")
        for product_id in check.items(inner.get("product_ids"), f"{path}.{member}[{number}].product_ids"):
            if isinstance(inner.get(value), str):
                found.setdefault(str(product_id), inner[value])
    return found


def _csaf_products(check: Checker, tree: Mapping[str, Any]) -> dict[str, VexProduct]:
    found: dict[str, VexProduct] = {}

    def take(entry: object, path: str) -> None:
        product = check.mapping(entry, path)
        helper = check.mapping(product.get("product_identification_helper"), f"{path}.product_identification_helper")
        wanted = [helper.get("purl"), *check.items(helper.get("purls"), f"{path}.purls")]
        purls = [p for p in (_purl(check, w, f"{path}.product_identification_helper.purl") for w in wanted if w) if p]
        digests = [
            f"sha256:{h.get('value')}"
            for group in check.items(helper.get("hashes"), f"{path}.hashes")
            for h in check.items(check.mapping(group, path).get("file_hashes"), f"{path}.file_hashes")
            if isinstance(h, Mapping) and str(h.get("algorithm")).lower() == "sha256"
        ]
        if isinstance(product.get("product_id"), str):
            found[product["product_id"]] = VexProduct(purls=tuple(purls), digests=tuple(digests))

    def walk(branches: Iterable[Any], path: str) -> None:
        for number, entry in enumerate(branches):
            here = f"{path}[{number}]"
            branch = check.mapping(entry, here)
            if "product" in branch:
                take(branch["product"], f"{here}.product")
            walk(check.items(branch.get("branches"), f"{here}.branches"), f"{here}.branches")

    walk(check.items(tree.get("branches"), "$.product_tree.branches"), "$.product_tree.branches")
    for number, entry in enumerate(check.items(tree.get("full_product_names"), "$.product_tree.full_product_names")):
        take(entry, f"$.product_tree.full_product_names[{number}]")
    for number, entry in enumerate(check.items(tree.get("relationships"), "$.product_tree.relationships")):
        path = f"$.product_tree.relationships[{number}]"
        relation = check.mapping(entry, path)
        whole = check.mapping(relation.get("full_product_name"), f"{path}.full_product_name").get("product_id")
        part, within = (
            found.get(str(relation.get("product_reference"))),
            found.get(str(relation.get("relates_to_product_reference"))),
        )
        if not isinstance(whole, str):
            check.problem(f"{path}.full_product_name.product_id", "is missing")
        elif part is None or within is None:
            check.problem(path, "relates products that are not in the tree")
        elif any(p.type in ("oci", "docker") for p in within.purls) or within.digests:
            # Without a package URL the part cannot be told from the rest of the image: then the whole has none.
            found[whole] = (
                VexProduct(purls=within.purls, digests=within.digests, components=part.purls)
                if part.purls
                else VexProduct()
            )
        else:
            # A package as a component of an operating system or a product stream: the package is what counts.
            found[whole] = part
    return found


_CYCLONEDX_STATES: Final[dict[str, VexStatus]] = {
    "not_affected": "not_affected",
    "false_positive": "not_affected",
    "resolved": "fixed",
    "resolved_with_pedigree": "fixed",
    "exploitable": "affected",
    "in_triage": "under_investigation",
}


def _cyclonedx(check: Checker, raw: Mapping[str, Any], name: str | None, unusable: _Unusable) -> Iterator[VexStatement]:
    metadata = check.mapping(raw.get("metadata"), "$.metadata")
    base = _time(check, metadata.get("timestamp"), "$.metadata.timestamp")
    title = name or check.text(raw, "serialNumber", "$")
    products: dict[str, VexProduct] = {}

    def take(entry: object, path: str) -> None:
        component = check.mapping(entry, path)
        purl = _purl(check, component.get("purl"), f"{path}.purl")
        digests = tuple(
            f"sha256:{h.get('content')}"
            for h in check.items(component.get("hashes"), f"{path}.hashes")
            if isinstance(h, Mapping) and h.get("alg") == "SHA-256" and component.get("type") == "container"
        )
        reference = component.get("bom-ref") or component.get("purl")
        if isinstance(reference, str):
            products[reference] = VexProduct(purls=(purl,) if purl else (), digests=digests)
        for number, inner in enumerate(check.items(component.get("components"), f"{path}.components")):
            take(inner, f"{path}.components[{number}]")

    if metadata.get("component") is not None:
        take(metadata["component"], "$.metadata.component")
    for number, entry in enumerate(check.items(raw.get("components"), "$.components")):
        take(entry, f"$.components[{number}]")
    for number, entry in enumerate(check.items(raw.get("vulnerabilities"), "$.vulnerabilities")):
        path = f"$.vulnerabilities[{number}]"
        item = check.mapping(entry, path)
        analysis = check.mapping(item.get("analysis"), f"{path}.analysis")
        state = analysis.get("state")
        others = [check.mapping(r, f"{path}.references").get("id") for r in check.items(item.get("references"), path)]
        names = tuple(dict.fromkeys(i for i in (item.get("id"), *others) if isinstance(i, str) and i))
        if state is None:
            # A bill of vulnerabilities without an analysis is no statement.
            continue
        status = _CYCLONEDX_STATES.get(str(state))
        if status is None:
            check.problem(f"{path}.analysis.state", f"must be one of {', '.join(_CYCLONEDX_STATES)}, not {state!r:.40}")
        if not names:
            check.problem(f"{path}.id", "is missing")
        found: list[VexProduct] = []
        for position, affected in enumerate(check.items(item.get("affects"), f"{path}.affects")):
            here = f"{path}.affects[{position}]"
            product = _cyclonedx_product(check, check.mapping(affected, here), here, products)
            if isinstance(product, str):
                unusable.append((f"{title or 'CycloneDX'} {here}", product))
            else:
                found.append(product)
        moment = _time(check, analysis.get("lastUpdated") or item.get("updated"), f"{path}.analysis.lastUpdated")
        if status is not None and names and found:
            yield VexStatement(
                ids=names,
                status=status,
                products=tuple(found),
                timestamp=moment or base,
                justification=check.text(analysis, "justification", f"{path}.analysis"),
                text=check.text(analysis, "detail", f"{path}.analysis"),
                document=title,
                path=path,
            )


def _cyclonedx_product(
    check: Checker, affected: Mapping[str, Any], path: str, products: Mapping[str, VexProduct]
) -> VexProduct | str:
    """Return the product, or why it cannot be used."""
    if affected.get("versions"):
        return "limits itself to versions or ranges, which ecrkit does not evaluate"
    reference = str(affected.get("ref") or "")
    # A BOM-Link names the document before the # and the component behind it.
    target = reference.rpartition("#")[2] if reference.startswith("urn:cdx:") else reference
    product = products.get(target)
    if product is None and target.startswith("pkg:"):
        purl = _purl(check, target, f"{path}.ref")
        product = VexProduct(purls=(purl,)) if purl else None
    if product is None:
        return f"the component {target!r:.80} is not in the document"
    if not product.purls and not product.digests:
        return f"the component {target!r:.80} has no package URL or digest"
    return product
