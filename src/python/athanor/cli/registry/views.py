"""Commands of the layer `registry` that show a version or the traffic, or compare two versions."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType

from athanor.cli.registry.opening import VersionArgument
from athanor.cli.shared.records import gates_table, metrics_table
from athanor.cli.shared.terminal import HomeOption, JsonOption, ProjectArgument, facts, listing, show, watch
from athanor.home import Home

if TYPE_CHECKING:
    from athanor.registry.difference import Difference
    from athanor.registry.history import Move, Registered
    from athanor.release.files import Release
    from athanor.release.record import TrainingRecord
    from athanor.release.traffic import Traffic


def show_(
    project: ProjectArgument, version: VersionArgument, home: HomeOption = None, json: JsonOption = False
) -> None:
    """Show a version: metrics, gates, parameters, provenance, signatures."""
    from athanor.registry.registry import Registry
    from athanor.registry.tracking.runs import read_training

    with watch() as progress, progress.step("Read the release"):
        registry = Registry.open(Home.find(home))
        found = registry.find_version(project, version)
        release = registry.store.read(project, found.digest)
        signatures = list(registry.store.read_signatures(project, found.digest))
    record = read_training(release).record
    result = {
        **asdict(found),
        "identity": release.identity.model_dump(mode="json"),
        "provenance": release.manifest.provenance.model_dump(mode="json"),
        "metrics": {name: estimate.model_dump() for name, estimate in record.metrics.items()},
        "gates": [gate.model_dump() for gate in record.gates],
        "signatures": [signature.model_dump(mode="json") for signature in signatures],
    }
    show(result, json, lambda: _describe(found, release, record, result["signatures"]))


def _describe(
    found: "Registered", release: "Release", record: "TrainingRecord", signatures: list[dict[str, Any]]
) -> RenderableType:
    identity = release.identity
    apart = ("model", "aliases", "weight")
    head = {name.replace("_", " "): value for name, value in asdict(found).items() if name not in apart}
    part = {"alias": ", ".join(found.aliases), "weight": format_weight(found.weight)}
    made_of = {name: getattr(identity, name) for name in ("contract", "snapshot", "features", "recipe", "algorithm")}
    provenance = release.manifest.provenance.model_dump(mode="json", exclude={"libraries"})
    return Group(
        facts(f"{found.model} {found.semantic_version}", {**head, **part, **made_of}),
        facts("Parameters", {**identity.parameters, "seed": identity.seed, "calibration": identity.calibration}),
        metrics_table(record),
        gates_table(record),
        facts("Provenance", {name.replace("_", " "): value for name, value in provenance.items()}),
        facts("Signatures", _describe_signatures(signatures)),
    )


def _describe_signatures(signatures: list[dict[str, Any]]) -> Mapping[str, object]:
    if not signatures:
        return {"none": ""}
    return {
        f"{number}": ", ".join(f"{name} {value}" for name, value in signature.items())
        for number, signature in enumerate(signatures, start=1)
    }


def traffic(project: ProjectArgument, home: HomeOption = None, json: JsonOption = False) -> None:
    """Show the releases that answer, their shares of the keys, and the last move."""
    from athanor.registry.registry import Registry

    with watch() as progress, progress.step("Read the traffic file"):
        registry = Registry.open(Home.find(home))
        found = registry.store.read_traffic(project)
        moves = registry.list_moves(project)
    move = next((move for move in moves if move.traffic == found), None)
    moved = {name: getattr(move, name) for name in ("kind", "by", "at", "why")} if move else None
    is_last = move is not None and move is moves[-1]
    result = {**found.model_dump(mode="json"), "weights": found.weights, "moved": moved, "is_last_move": is_last}
    show(result, json, lambda: list_served(found, _describe_move(found, move, is_last)))


def _describe_move(found: "Traffic", move: "Move | None", is_last: bool) -> str:
    text = f"revision {found.revision}"
    if move:
        text += f", {move.kind} by {move.by} at {move.at}: {move.why}"
    return text if is_last else f"{text}. This is not the last move: run `athanor registry doctor --mend`"


def list_served(traffic: "Traffic", text: str) -> RenderableType:
    """Table of the releases in the traffic with their weights; the text stands in its title."""
    rows = [
        (role, served.semantic_version, served.digest[:12], format_weight(traffic.weight_of(role)))
        for role, served in traffic.releases
    ]
    return listing(f"Traffic of {traffic.model}, {text}", ("variant", "version", "digest", "weight"), rows)


def format_weight(weight: float | None) -> str:
    """Share of the keys that a release answers; "" if it is not in the traffic."""
    return "" if weight is None else f"{weight:g}"


def diff(
    project: ProjectArgument,
    before: VersionArgument,
    after: VersionArgument,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Compare two versions: contract, graph, inputs of training, metrics, libraries."""
    from athanor.registry.difference import compare_releases
    from athanor.registry.registry import Registry

    with watch() as progress, progress.step("Read both releases"):
        registry = Registry.open(Home.find(home))
        sides = [registry.find_version(project, version) for version in (before, after)]
        old, new = (registry.store.read(project, version.digest) for version in sides)
    found = compare_releases(old, new)
    names = [version.semantic_version for version in sides]
    result = {
        "before": names[0],
        "after": names[1],
        "aliases": [version.aliases for version in sides],
        "weights": [version.weight for version in sides],
        **asdict(found),
        "is_same_graph": found.is_same_graph,
        "gives_same_answers": found.gives_same_answers,
        "contract": [{**asdict(change), "level": change.level.value} for change in found.contract],
    }
    roles = [_describe_role(version) for version in sides]
    show(result, json, lambda: _tables(f"{project}, {names[0]} to {names[1]}", found, roles))


def _describe_role(version: "Registered") -> str:
    """Role in the traffic, such as "challenger, 0.1"; "" if it has none."""
    return ", ".join(filter(None, (*version.aliases, format_weight(version.weight))))


def _tables(title: str, found: "Difference", roles: Sequence[str]) -> RenderableType:
    changes = [(change.level.value, str(change), change.remedy) for change in found.contract] or [("", "no change", "")]
    pair = ("", "before", "after")
    metrics = [
        (name, _number(old), _number(new), "" if old is None or new is None else f"{new - old:+.4f}")
        for name, (old, new) in found.metrics.items()
    ]
    return Group(
        listing(f"Contract of {title}", ("level", "change", "remedy"), changes),
        listing("Graph", pair, [(_describe_graph(found), *(digest[:12] for digest in found.graph))]),
        listing("Role in the traffic", pair, [("traffic", *roles)]),
        listing("Inputs of training", pair, [(name, *values) for name, values in found.parts.items()]),
        listing("Metrics", (*pair, "difference"), metrics),
        listing("Different libraries", pair, [(name, *values) for name, values in found.libraries.items()]),
    )


def _describe_graph(found: "Difference") -> str:
    return "the same graph: both versions give the same answers" if found.gives_same_answers else "another graph"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
