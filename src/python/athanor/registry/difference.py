"""What differs between two releases: contract, what made them, metrics, libraries."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from athanor.contract.compatibility import Change, compare
from athanor.release.files import CONTRACT, Release
from athanor.release.manifest import Identity

_PARTS: Final = ("features", "recipe", "algorithm", "calibration", "seed", "snapshot")


@dataclass(frozen=True)
class Difference:
    """From one release to another.

    Attributes:
        contract: changes, breaking ones first.
        parts: what made them and differs, by name, old and new; "" where one of them has none.
        metrics: of both, by name, old and new; None where one of them has none.
        libraries: versions that differ, by name, old and new; "" where one of them had none.
    """

    contract: tuple[Change, ...]
    parts: Mapping[str, tuple[str, str]]
    metrics: Mapping[str, tuple[float | None, float | None]]
    libraries: Mapping[str, tuple[str, str]]


def compare_releases(old: Release, new: Release) -> Difference:
    libraries = _pair(old.manifest.provenance.libraries, new.manifest.provenance.libraries)
    return Difference(
        contract=compare(old.json(CONTRACT), new.json(CONTRACT)),
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
    return {name: (_tell(old), _tell(new)) for name, (old, new) in pairs if old != new}


def _tell(value: object) -> str:
    return "" if value is None else str(value)
