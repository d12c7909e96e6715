"""Differences between two releases: contract, graph, inputs of the training, metrics, libraries."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from athanor.contract.evolution.compatibility import Change, compare
from athanor.release.files import CONTRACT, GRAPH, Release
from athanor.release.manifest import Identity

_PARTS: Final = ("features", "recipe", "algorithm", "calibration", "doubt", "seed", "snapshot")


@dataclass(frozen=True)
class Difference:
    """Differences from one release to another.

    Attributes:
        contract: changes, breaking ones first.
        graph: sha256 of both graphs, old and new.
        parts: different inputs of the training: by name, old and new value; "" for an absent one.
        metrics: all metrics: by name, old and new value; None for an absent one.
        libraries: different versions: by name, old and new version; "" for an absent library.
    """

    contract: tuple[Change, ...]
    graph: tuple[str, str]
    parts: Mapping[str, tuple[str, str]]
    metrics: Mapping[str, tuple[float | None, float | None]]
    libraries: Mapping[str, tuple[str, str]]

    @property
    def is_same_graph(self) -> bool:
        """Whether both releases have the same graph, byte for byte."""
        return self.graph[0] == self.graph[1]

    @property
    def gives_same_answers(self) -> bool:
        """Whether they answer every valid request alike: all of an answer comes from the graph."""
        return self.is_same_graph


def compare_releases(old: Release, new: Release) -> Difference:
    libraries = _pair(old.manifest.provenance.libraries, new.manifest.provenance.libraries)
    return Difference(
        contract=compare(old.json(CONTRACT), new.json(CONTRACT)),
        graph=(old.identity.files[GRAPH], new.identity.files[GRAPH]),
        parts=_differing(_pair(dict(_describe(old.identity)), dict(_describe(new.identity)))),
        metrics=dict(_pair(old.identity.metrics, new.identity.metrics)),
        libraries=_differing(libraries),
    )


def _describe(identity: Identity) -> Iterator[tuple[str, Any]]:
    for name in _PARTS:
        yield name, getattr(identity, name)
    for name, value in identity.parameters.items():
        yield f"parameter {name}", value


def _pair(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, tuple[Any, Any]]]:
    for name in dict.fromkeys((*old, *new)):
        yield name, (old.get(name), new.get(name))


def _differing(pairs: Iterator[tuple[str, tuple[Any, Any]]]) -> dict[str, tuple[str, str]]:
    return {name: (_text(old), _text(new)) for name, (old, new) in pairs if old != new}


def _text(value: object) -> str:
    return "" if value is None else str(value)
