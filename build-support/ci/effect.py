"""Targets that edits affect: dependents by Pants, dependents lost since the base, and dependents of requirements."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from ci import graph
from ci.edits import Edit, text_at, text_now
from ci.graph import Target
from ci.requirements import Change, UnreadableLockError, find_change
from ci.table import RESOLVES, Resolve, find_rule, is_document

_DEFAULTS = "__defaults__("


@dataclass(frozen=True)
class Effect:
    """Effect of some edits.

    Attributes:
        targets: by address; generators are left out.
        unowned: edited paths with an unknown effect.
        reasons: a sentence for each edited lock.
    """

    targets: Mapping[str, Target]
    unowned: tuple[str, ...]
    reasons: tuple[str, ...]


def find_effect(root: Path, base: str, edits: Collection[Edit]) -> Effect:
    """The effect of edits since a commit.

    Raises:
        PantsError: Pants cannot find dependencies.
        UnreadableLockError: An edited lock is not in uv's form.
    """
    changes = dict(_find_changes(root, base, {edit.path for edit in edits}))
    compared = {path for resolve in changes for path in (resolve.lock, resolve.requirements)}
    return _Search(root, base, tuple(edit for edit in edits if edit.path not in compared), changes).effect


@dataclass(frozen=True)
class _Search:
    """Collects the effect.

    Attributes:
        edits: without locks and requirements files that `changes` compares.
    """

    root: Path
    base: str
    edits: tuple[Edit, ...]
    changes: Mapping[Resolve, Change]

    @property
    def effect(self) -> Effect:
        now = graph.changed_targets(self.root, self.edits)
        then, lost = self._before()
        affected = now | self._among({*then, *lost, *self._of_requirements(), *self._below_defaults()})
        owned = {path for target in (*now.values(), *then.values()) for path in target.sources}
        return Effect(
            # Pants names a generator of a folder's targets if any of its files is affected or deleted.
            {address: target for address, target in affected.items() if target.kind not in graph.GENERATORS},
            tuple(edit.path for edit in self.edits if edit.path not in owned and not _is_known(edit.path)),
            tuple(_describe(resolve, change) for resolve, change in self.changes.items()),
        )

    @cached_property
    def _known(self) -> Mapping[str, Target]:
        return graph.all_targets(self.root)

    def _among(self, addresses: Collection[str]) -> dict[str, Target]:
        return {address: self._known[address] for address in addresses if address in self._known} if addresses else {}

    def _before(self) -> tuple[Mapping[str, Target], frozenset[str]]:
        """Dependents, at the base, of deleted files and of removed requirements: the working tree has lost them."""
        deleted = [edit for edit in self.edits if edit.deleted and not is_document(edit.path)]
        removed = [name for resolve, change in self.changes.items() for name in _addresses(resolve, change.removed)]
        if not deleted and not removed:
            return {}, frozenset()
        with graph.tree_at(self.root, self.base) as then:
            targets = graph.changed_targets(then, deleted, "--no-pantsd")
            return targets, graph.dependents(then, removed, "--no-pantsd")

    def _of_requirements(self) -> frozenset[str]:
        """Dependents of affected requirements, of the locks' text, and of all protos if their generator changed."""
        specs = [spec for resolve, change in self.changes.items() for spec in self._specs(resolve, change)]
        return graph.dependents(self.root, specs)

    def _specs(self, resolve: Resolve, change: Change) -> Iterator[str]:
        yield from resolve.readers
        yield from _addresses(resolve, change.affected)
        if change.affected & resolve.generating:
            yield from (target.address for target in self._known.values() if target.kind == "protobuf_source")

    def _below_defaults(self) -> frozenset[str]:
        """The targets below each BUILD file that sets or set defaults: Pants sees only the targets in that file."""
        builds = [path for edit in self.edits if (path := PurePosixPath(edit.path)).name == "BUILD"]
        folders = [build.parent for build in builds if _DEFAULTS in self._texts(build)]
        if not folders:
            return frozenset()
        places = [PurePosixPath(address.partition(":")[0]) for address in self._known]
        specs = [
            f"{folder}::" if folder.parts else "::"
            for folder in folders
            if any(place.is_relative_to(folder) for place in places)
        ]
        return graph.dependents(self.root, specs)

    def _texts(self, path: PurePosixPath) -> str:
        return text_at(self.root, self.base, path) + text_now(self.root, path)


def _find_changes(root: Path, base: str, edited: Collection[str]) -> Iterator[tuple[Resolve, Change]]:
    for resolve in RESOLVES:
        lock, requirements = PurePosixPath(resolve.lock), PurePosixPath(resolve.requirements)
        if {resolve.lock, resolve.requirements}.isdisjoint(edited):
            continue
        old = text_at(root, base, lock), text_at(root, base, requirements)
        new = text_now(root, lock), text_now(root, requirements)
        try:
            yield resolve, find_change(old, new)
        except UnreadableLockError as error:
            raise UnreadableLockError(f"{lock} cannot be compared: {error}") from error


def _addresses(resolve: Resolve, names: Iterable[str]) -> Iterator[str]:
    return (f"{resolve.generator}#{name}" for name in names)


def _describe(resolve: Resolve, change: Change) -> str:
    affected = ", ".join(sorted(change.affected | change.removed)) or "no requirement"
    entries = ", ".join(sorted(change.entries)) or "no entry"
    return f"{resolve.lock} changed in {entries}: affects {affected}"


def _is_known(path: str) -> bool:
    return PurePosixPath(path).name == "BUILD" or is_document(path) or find_rule(path) is not None
