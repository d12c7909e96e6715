"""Commands of the layer `registry` that show a version or the traffic, or compare two versions."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType

from athanor.cli.registry.opening import ModelArgument, VersionArgument
from athanor.cli.shared.records import gates_table, metrics_table
from athanor.cli.shared.terminal import HomeOption, JsonOption, facts, listing, show, watch
from athanor.errors import NotFoundError
from athanor.home import Home

if TYPE_CHECKING:
    from athanor.registry.difference import Difference
    from athanor.registry.history import Move, Registered
    from athanor.registry.registry import Registry
    from athanor.release.files import Release
    from athanor.release.record import TrainingRecord
    from athanor.release.traffic import Traffic


def show_(model: ModelArgument, version: VersionArgument, home: HomeOption = None, json: JsonOption = False) -> None:
    """Show a version: metrics, gates, parameters, provenance, signatures."""
    from athanor.cli.registry.models import find_version
    from athanor.registry.registry import Registry
    from athanor.registry.tracking.runs import read_training

    with watch() as progress, progress.step("Read the release"):
        registry = Registry.open(Home.find(home))
        found = find_version(registry, model, version)
        release = registry.store.read(found.model, found.digest)
        signatures = list(registry.store.read_signatures(found.model, found.digest))
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


def traffic(project: ModelArgument, home: HomeOption = None, json: JsonOption = False) -> None:
    """Show the releases of each model of a project that answer, their shares of the keys, and the last move."""
    from athanor.cli.registry.models import find_models
    from athanor.registry.registry import Registry

    with watch() as progress, progress.step("Read the traffic files"):
        registry = Registry.open(Home.find(home))
        models = find_models(registry, project)
        found = list[_Shown]()
        for model in models:
            with suppress(NotFoundError):
                found.append(_Shown.read(registry, model))
        # Without any traffic, the first one reports it.
        found = found or [_Shown.read(registry, models[0])]
    show([each.as_json() for each in found], json, lambda: Group(*(each.as_table() for each in found)))


@dataclass(frozen=True)
class _Shown:
    """The traffic file of a model.

    Attributes:
        move: that published it; None if it is unknown.
    """

    traffic: "Traffic"
    move: "Move | None"
    is_last_move: bool

    @classmethod
    def read(cls, registry: "Registry", model: str) -> "_Shown":
        found, moves = registry.store.read_traffic(model), registry.list_moves(model)
        move = next((move for move in moves if move.traffic == found), None)
        return cls(found, move, move is not None and move is moves[-1])

    def as_json(self) -> dict[str, Any]:
        moved = {name: getattr(self.move, name) for name in ("kind", "by", "at", "why")} if self.move else None
        shown = self.traffic.model_dump(mode="json")
        return {**shown, "weights": self.traffic.weights, "moved": moved, "is_last_move": self.is_last_move}

    def as_table(self) -> RenderableType:
        text = f"revision {self.traffic.revision}"
        if self.move:
            text += f", {self.move.kind} by {self.move.by} at {self.move.at}: {self.move.why}"
        if not self.is_last_move:
            text += ". This is not the last move: run `athanor registry doctor --mend`"
        return list_served(self.traffic, text)


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
    model: ModelArgument,
    before: VersionArgument,
    after: VersionArgument,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Compare two versions: contract, graph, inputs of training, metrics, libraries."""
    from athanor.cli.registry.models import find_version
    from athanor.registry.difference import compare_releases
    from athanor.registry.registry import Registry

    with watch() as progress, progress.step("Read both releases"):
        registry = Registry.open(Home.find(home))
        sides = [find_version(registry, model, version) for version in (before, after)]
        old, new = (registry.store.read(version.model, version.digest) for version in sides)
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
    show(result, json, lambda: _tables(f"{model}, {names[0]} to {names[1]}", found, roles))


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
