"""Commands of the layer `registry` that show one version or the traffic, or compare two versions."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.markup import escape

from athanor.cli.shared.terminal import HomeOption, JsonOption, ProjectArgument, facts, listing, show, watch
from athanor.home import Home

if TYPE_CHECKING:
    from athanor.registry.difference import Difference
    from athanor.registry.history import Move, Registered
    from athanor.release.files import Release
    from athanor.release.record import TrainingRecord
    from athanor.release.traffic import Traffic

_OneArgument = Annotated[str, typer.Argument(help="Semantic version, 1.0.0, or how the digest begins.")]


def show_(project: ProjectArgument, version: _OneArgument, home: HomeOption = None, json: JsonOption = False) -> None:
    """Tell all about one version: metrics, gates, parameters, provenance, signatures."""
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
    part = {"alias": ", ".join(found.aliases), "weight": tell_weight(found.weight)}
    made_of = {name: getattr(identity, name) for name in ("contract", "snapshot", "features", "recipe", "algorithm")}
    provenance = release.manifest.provenance.model_dump(mode="json", exclude={"libraries"})
    metrics = [
        (name, f"{of.value:.4f}", f"{of.low:.4f} to {of.high:.4f}", _number(identity.baseline.get(name)))
        for name, of in record.metrics.items()
    ]
    gates = [(gate.gate, "passed" if gate.passed else "FAILED", gate.explanation, gate.wanted) for gate in record.gates]
    return Group(
        facts(f"{found.model} {found.semantic_version}", {**head, **part, **made_of}),
        facts("Parameters", {**identity.parameters, "seed": identity.seed, "calibration": identity.calibration}),
        listing("Metrics", ("metric", "model", "95 % interval", "baseline"), metrics),
        listing("Gates", ("gate", "", "saw", "wanted"), gates),
        facts("Provenance", {name.replace("_", " "): value for name, value in provenance.items()}),
        facts("Signatures", _tell_signatures(signatures)),
    )


def _tell_signatures(signatures: list[dict[str, Any]]) -> Mapping[str, object]:
    if not signatures:
        return {"none": ""}
    return {
        f"{number}": ", ".join(f"{name} {value}" for name, value in signature.items())
        for number, signature in enumerate(signatures, start=1)
    }


def traffic(project: ProjectArgument, home: HomeOption = None, json: JsonOption = False) -> None:
    """Tell which releases answer, for which share of the keys, and who moved what last."""
    from athanor.registry.registry import Registry

    with watch() as progress, progress.step("Read the traffic file"):
        registry = Registry.open(Home.find(home))
        found = registry.store.read_traffic(project)
        moves = registry.list_moves(project)
    move = next((move for move in moves if move.traffic == found), None)
    moved = {name: getattr(move, name) for name in ("kind", "by", "at", "why")} if move else None
    is_last = move is not None and move is moves[-1]
    result = {**found.model_dump(mode="json"), "weights": found.weights, "moved": moved, "is_last_move": is_last}
    show(result, json, lambda: list_served(found, _tell_move(found, move, is_last)))


def _tell_move(found: "Traffic", move: "Move | None", is_last: bool) -> str:
    words = f"revision {found.revision}"
    if move:
        words += f", {move.kind} by {move.by} at {move.at}: {move.why}"
    return words if is_last else f"{words}. This is not the last move: `athanor registry doctor --mend`"


def list_served(traffic: "Traffic", words: str) -> RenderableType:
    """A table of the releases that take part, with their weights, below words about it."""
    weights = traffic.weights
    rows = [
        (variant, served.semantic_version, served.digest[:12], tell_weight(weights[variant]))
        for variant, served in traffic.served.items()
    ]
    return listing(f"Traffic of {traffic.model}, {escape(words)}", ("variant", "version", "digest", "weight"), rows)


def tell_weight(weight: float | None) -> str:
    """The share of the keys that a release answers for; "" of one that takes no part."""
    return "" if weight is None else f"{weight:g}"


def diff(
    project: ProjectArgument,
    before: _OneArgument,
    after: _OneArgument,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Compare two versions: contract, what made them, metrics, libraries."""
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
        "contract": [
            {"subject": change.subject, "what": change.what, "level": change.level.value} for change in found.contract
        ],
    }
    parts = [_tell_part(version) for version in sides]
    show(result, json, lambda: _tables(f"{project}, {names[0]} to {names[1]}", found, parts))


def _tell_part(version: "Registered") -> str:
    """How it takes part in the traffic: "challenger, 0.1"; "" if it does not."""
    return ", ".join(filter(None, (*version.aliases, tell_weight(version.weight))))


def _tables(title: str, found: "Difference", parts: Sequence[str]) -> RenderableType:
    changes = [(change.level.value, str(change)) for change in found.contract] or [("", "no change")]
    pair = ("", "before", "after")
    metrics = [
        (name, _number(old), _number(new), "" if old is None or new is None else f"{new - old:+.4f}")
        for name, (old, new) in found.metrics.items()
    ]
    return Group(
        listing(f"Contract of {title}", ("level", "change"), changes),
        listing("What they do", pair, [("traffic", *parts)]),
        listing("What made them", pair, [(name, *values) for name, values in found.parts.items()]),
        listing("Metrics", (*pair, "difference"), metrics),
        listing("Libraries that differ", pair, [(name, *values) for name, values in found.libraries.items()]),
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
