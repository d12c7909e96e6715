"""Which targets a change affects, goal by goal, and why."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ci import graph
from ci.edits import Edit, LostBaseError, find_base, find_edits
from ci.effect import find_effect
from ci.graph import Target
from ci.requirements import UnreadableLockError
from ci.table import ALL, GOALS, find_rule

EVERYTHING = ("::",)


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
    try:
        effect = find_effect(root, base, edits)
    except UnreadableLockError as error:
        return plan_everything(root, str(error), base)
    if effect.unowned:
        return plan_everything(root, f"no target owns {', '.join(effect.unowned)}", base)
    return Plan(root, base, whole, effect.targets, (*reasons, *effect.reasons))


def _widened(edits: Iterable[Edit]) -> tuple[frozenset[str], tuple[str, ...]]:
    """The goals that must see all targets, and a sentence for each edit that says so."""
    found = [(edit.path, rule) for edit in edits if (rule := find_rule(edit.path))]
    reasons = tuple(f"{path} {rule.reason}: {_named(rule.goals)} everything" for path, rule in found)
    return frozenset().union(*(rule.goals for _, rule in found)), reasons


def _named(goals: frozenset[str]) -> str:
    return ", ".join(goal for goal in GOALS if goal in goals)
