"""Which targets a change affects, goal by goal, and why."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from ci import graph
from ci.edits import Edit, LostBaseError, find_base, find_edits, text_at, text_now
from ci.graph import Target
from ci.table import ALL, GOALS, find_rule, is_document

EVERYTHING = ("::",)
_DEFAULTS = "__defaults__("


@dataclass(frozen=True)
class Plan:
    """Targets to run: all in the goals of `whole`, `affected` (by address) in the others."""

    root: Path
    base: str | None
    whole: frozenset[str]
    affected: Mapping[str, Target]
    reasons: tuple[str, ...]
    lost: bool = False

    @property
    def everything(self) -> bool:
        """Whether everything runs."""
        return self.whole == ALL

    def specs(self, goal: str) -> tuple[str, ...]:
        """Pants' specs for a goal; empty if there is nothing to do."""
        return EVERYTHING if goal in self.whole else tuple(sorted(self.affected))

    @cached_property
    def tests(self) -> tuple[str, ...]:
        """The files of the tests that run."""
        return tuple(sorted({path for target in self._targets("test", graph.TESTS) for path in target.sources}))

    @cached_property
    def packages(self) -> tuple[str, ...]:
        """The addresses of packages: binaries, images, archives."""
        return tuple(sorted(target.address for target in self._targets("package", graph.PACKAGES)))

    def _targets(self, goal: str, kinds: Collection[str]) -> list[Target]:
        chosen = self._known if goal in self.whole else self.affected
        return [target for target in chosen.values() if target.kind in kinds]

    @cached_property
    def _known(self) -> Mapping[str, Target]:
        return graph.all_targets(self.root)


def plan_everything(root: Path, reason: str, base: str | None = None, *, lost: bool = False) -> Plan:
    """The plan that runs everything."""
    return Plan(root, base, ALL, {}, (reason,), lost)


def plan_since(root: Path, since: str | None) -> Plan:
    """Differences from the commit at which this history left `since` (None: the trunk), and all their dependents.

    Raises:
        PantsError: Pants cannot find dependencies, for example because a file imports a deleted one.
    """
    try:
        base = find_base(root, since)
    except LostBaseError as error:
        return plan_everything(root, str(error), lost=True)
    edits = find_edits(root, base)
    whole, reasons = _widened(edits)
    if whole == ALL:
        return Plan(root, base, whole, {}, reasons)
    affected, unowned = _affected(root, base, [edit for edit in edits if not find_rule(edit.path)])
    if unowned:
        return plan_everything(root, f"no target owns {', '.join(unowned)}", base)
    return Plan(root, base, whole, affected, reasons)


def _widened(edits: Iterable[Edit]) -> tuple[frozenset[str], tuple[str, ...]]:
    """The goals that must see all targets, and a sentence for each edit that says so."""
    found = [(edit.path, rule) for edit in edits if (rule := find_rule(edit.path))]
    reasons = tuple(f"{path} {rule.reason}: {_named(rule.goals)} everything" for path, rule in found)
    return frozenset().union(*(rule.goals for _, rule in found)), reasons


def _named(goals: frozenset[str]) -> str:
    return ", ".join(goal for goal in GOALS if goal in goals)


def _affected(root: Path, base: str, edits: Collection[Edit]) -> tuple[dict[str, Target], list[str]]:
    """The targets that edits affect, by address, and the edited paths with an unknown effect."""
    paths = [edit.path for edit in edits]
    deleted = [edit.path for edit in edits if edit.deleted]
    now = graph.changed_targets(root, base)
    then = graph.former_dependents(root, base, deleted) if not all(map(is_document, deleted)) else {}
    owned = _owned(now) | _owned(then)
    known = graph.all_targets(root) if then else {}
    affected = {**now, **_among(known, then), **_below_defaults(root, base, paths)}
    return _without_generators(affected), [path for path in paths if path not in owned and not _is_known(path)]


def _among(known: Mapping[str, Target], addresses: Iterable[str]) -> dict[str, Target]:
    return {address: known[address] for address in addresses if address in known}


def _without_generators(targets: Mapping[str, Target]) -> dict[str, Target]:
    """Leaves out generators of a folder's targets: Pants names one if any of its files is affected or deleted."""
    return {address: target for address, target in targets.items() if target.kind not in graph.GENERATORS}


def _owned(targets: Mapping[str, Target]) -> set[str]:
    return {path for target in targets.values() for path in target.sources}


def _is_known(path: str) -> bool:
    return PurePosixPath(path).name == "BUILD" or is_document(path)


def _below_defaults(root: Path, base: str, paths: Iterable[str]) -> dict[str, Target]:
    """The targets below each BUILD file that sets defaults, or used to: Pants sees only the targets in that file."""
    builds = [PurePosixPath(path) for path in paths if PurePosixPath(path).name == "BUILD"]
    folders = [build.parent for build in builds if _DEFAULTS in text_at(root, base, build) + text_now(root, build)]
    if not folders:
        return {}
    known = graph.all_targets(root)
    places = [PurePosixPath(address.partition(":")[0]) for address in known]
    specs = [
        f"{folder}::" if folder.parts else "::"
        for folder in folders
        if any(place.is_relative_to(folder) for place in places)
    ]
    return _among(known, graph.dependents(root, specs)) if specs else {}
