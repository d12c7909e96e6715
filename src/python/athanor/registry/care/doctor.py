"""The doctor: finds and mends differences between database, aliases, history, release store and traffic file.

The ledger is authoritative: a move is recorded there before anything else changes, and each record holds the digest of
the one before. What MLflow alone has was written by others: it is named, and never published. A release in the store
without a version was being registered when its process died; mending registers it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from athanor.errors import AthanorError, NotFoundError, ReleaseError
from athanor.registry.care.findings import Difference, Finding
from athanor.registry.care.outside import (
    examine_ledger,
    examine_model,
    examine_renamed,
    examine_version,
    find_renamed,
    is_proved,
)
from athanor.registry.history import PINNED_TAG, Move, Registered
from athanor.registry.moves import find_replaced, follows
from athanor.registry.registry import Registry
from athanor.registry.tracking.runs import read_training
from athanor.release.files import Release, read_release
from athanor.release.traffic import PINNED, VARIANTS, Role, Traffic

_ROLES: Final[tuple[Role, ...]] = (*VARIANTS, PINNED)
_REGISTER: Final = "registers it; `registry gc` would remove it"


def examine(registry: Registry, candidates: Path, mend: bool = False) -> list[Finding]:
    """Finds every difference. With `mend`, mends each at once, so that its consequences are not reported.

    Args:
        candidates: folder of the releases that training wrote, by model: a source for copies that the store lost.

    Raises:
        ConflictError: another process is writing.
        StorageError: `mend`, where this process may not write.
    """
    with registry.writing() if mend else registry.unchanging():
        return list(_examine_all(registry, candidates, mend))


def _examine_all(registry: Registry, candidates: Path, mend: bool) -> Iterator[Finding]:
    renamed = find_renamed(registry)
    for original, name in renamed.items():
        yield _report(original, examine_renamed(registry, original, name), mend)
    # Under its other name, a model differs in everything.
    left = set() if mend else {*renamed, *renamed.values()}
    for model in _list_models(registry):
        if model not in left:
            for difference in _examine(registry, model, candidates / model):
                yield _report(model, difference, mend)


def _list_models(registry: Registry) -> list[str]:
    return sorted({*registry.list_models(), *registry.store.list_models(), *registry.runs.list_models()})


def _report(model: str, found: Difference, mend: bool) -> Finding:
    if not (mend and found.mend):
        return Finding(model, found.what, found.remedy)
    try:
        found.mend()
    except AthanorError as error:
        return Finding(model, f"{found.what}; mending failed: {error}", found.remedy)
    return Finding(model, found.what, found.remedy, is_mended=True)


def _examine(registry: Registry, model: str, candidates: Path) -> Iterator[Difference]:
    """In this order: each check sees what was mended before it."""
    yield from _examine_runs(registry, model)
    yield from examine_ledger(registry, model)
    if not is_proved(registry, model):
        return
    yield from _examine_unregistered(registry, model, candidates)
    yield from examine_model(registry, model)
    recorded = registry.runs.list_recorded(model)
    for version in registry.list_versions(model):
        yield from _examine_version(registry, version, candidates, version.digest in recorded)
    moves = registry.list_moves(model)
    yield from _examine_moves(moves, registry.list_versions(model))
    yield from _examine_traffic(registry, model, moves[-1] if moves else None)


def _examine_runs(registry: Registry, model: str) -> Iterator[Difference]:
    for run in registry.runs.list_unfinished(model):
        yield Difference(
            f"the record of a training, run {run}, was never finished",
            "removes it; registering its release records it again",
            lambda run=run: registry.runs.remove(model, run),  # type: ignore[misc]
        )


def _examine_unregistered(registry: Registry, model: str, candidates: Path) -> Iterator[Difference]:
    registered = {version.digest for version in registry.list_versions(model)}
    assigned = {one.digest: one.semantic_version for one in registry.list_assigned(model)}
    published = set(registry.store.list_digests(model))
    for digest in sorted((published | assigned.keys()) - registered, key=lambda digest: (digest in assigned, digest)):
        what = (
            f"version {assigned[digest]} was deleted in MLflow"
            if digest in assigned
            else f"the store holds release {digest[:12]}, which has no version"
        )
        remedy = "registers it again under its number" if digest in assigned else _REGISTER
        if digest in published:
            yield Difference(what, remedy, partial(_register, registry, partial(registry.store.read, model, digest)))
        elif _find_candidate(candidates / digest):
            yield Difference(what, remedy, partial(_register, registry, partial(read_release, candidates / digest)))
        else:
            yield Difference(f"{what}, and the store has no copy of release {digest[:12]}")


def _register(registry: Registry, read: Callable[[], Release]) -> None:
    # Its registration was allowed when it began.
    registry.register(read(), allow_dirty=True)


def _examine_version(
    registry: Registry, version: Registered, candidates: Path, is_recorded: bool
) -> Iterator[Difference]:
    try:
        release = registry.store.read(version.model, version.digest)
    except (NotFoundError, ReleaseError) as error:
        again = _find_candidate(candidates / version.digest)
        yield Difference(
            f"the store has no intact copy of version {version.semantic_version}: {error}",
            "publishes the copy that training wrote" if again else "",
            (lambda: _publish_again(registry, again)) if again else None,
        )
        return
    if not is_recorded:
        yield Difference(
            f"the training of version {version.semantic_version} is not recorded",
            "records it from the release",
            lambda: registry.runs.record(read_training(release)),
        )
    elif altered := registry.runs.list_altered(read_training(release)):
        yield Difference(
            f"the record of the training of version {version.semantic_version} was changed outside of Athanor: "
            f"{', '.join(altered)}",
            "removes it, and records it again from the release",
            lambda: _record_again(registry, release),
        )
    yield from examine_version(registry, version, release)


def _record_again(registry: Registry, release: Release) -> None:
    training = read_training(release)
    if run := registry.runs.find(training.record.model, release.digest):
        registry.runs.remove(training.record.model, run)
    registry.runs.record(training)


def _find_candidate(folder: Path) -> Release | None:
    with suppress(NotFoundError, ReleaseError):
        return read_release(folder)
    return None


def _publish_again(registry: Registry, release: Release) -> None:
    registry.store.remove(release.identity.model, release.digest)
    registry.store.publish(release)


def _examine_moves(moves: Sequence[Move], versions: Sequence[Registered]) -> Iterator[Difference]:
    """Records are never rewritten: an inconsistent history is left to people."""
    registered = {version.digest for version in versions}
    before: Traffic | None = None
    for expected, move in enumerate(moves, start=1):
        if move.revision != expected:
            yield Difference(f"move {expected} is missing from the history; the next one is {move.revision}")
            return
        replaced = find_replaced(before, move.kind, move.variant, move.digest)
        if move.from_digest != (replaced.digest if replaced else None):
            yield Difference(f"move {expected} starts from {move.from_version}, which was not {move.variant} then")
        elif not follows(before, move):
            yield Difference(f"move {expected}, a {move.kind}, records traffic that does not follow from it")
        if move.digest not in registered:
            yield Difference(f"move {expected} names version {move.semantic_version}, which is not registered")
        before = move.traffic


def _examine_traffic(registry: Registry, model: str, last: Move | None) -> Iterator[Difference]:
    if last is None:
        yield from _examine_unmoved(registry, model)
        return
    wanted = _list_by_role((role, served.semantic_version) for role, served in last.traffic.releases)
    found = _list_by_role((role, version.semantic_version) for role, version in _list_marked(registry, model))
    if found != wanted:
        different = [role for role in _ROLES if found.get(role) != wanted.get(role)]
        yield Difference(
            f"by the last move, {last.revision}, {_describe(wanted, different)}; "
            f"in MLflow {_describe(found, different)}",
            "sets aliases and tags, and writes the traffic file, as the history says",
            lambda: registry.publish(last),
        )
    traffic = _read_traffic(registry, model)
    if traffic != last.traffic:
        yield Difference(
            f"by the last move, {last.revision}, {_describe_traffic(last.traffic)}; {_describe_file(traffic)}",
            "writes the traffic file as the history says",
            lambda: registry.publish(last),
        )


def _examine_unmoved(registry: Registry, model: str) -> Iterator[Difference]:
    for role, version in _list_marked(registry, model):
        mark = "tag" if role == PINNED else "alias"
        yield Difference(
            f"{version.semantic_version} is {role} by its {mark}, and no move made it so",
            f"removes the {mark}",
            partial(_unmark, registry, version, role),
        )
    if _read_traffic(registry, model) is not None:
        yield Difference("there is a traffic file, but no move published it; promote a version")


def _unmark(registry: Registry, version: Registered, role: Role) -> None:
    if role == PINNED:
        registry.client.delete_model_version_tag(version.model, str(version.number), PINNED_TAG)
    else:
        registry.client.delete_registered_model_alias(version.model, role)


def _list_marked(registry: Registry, model: str) -> list[tuple[Role, Registered]]:
    """The versions with a role by the aliases and tags in MLflow."""
    versions = registry.list_versions(model)
    return [(role, version) for role in _ROLES for version in versions if role in version.aliases]


def _list_by_role(marked: Iterable[tuple[Role, str]]) -> dict[Role, str]:
    """The versions of each role, in one text."""
    found: dict[Role, list[str]] = {}
    for role, version in marked:
        found.setdefault(role, []).append(version)
    return {role: ", ".join(sorted(versions)) for role, versions in found.items()}


def _read_traffic(registry: Registry, model: str) -> Traffic | str | None:
    """The traffic file; a text if it is damaged; None if it does not exist."""
    try:
        return registry.store.read_traffic(model)
    except NotFoundError:
        return None
    except ReleaseError as error:
        return str(error)


def _describe(versions: Mapping[Role, str], roles: Iterable[Role]) -> str:
    return ", ".join(f"{role} is {versions.get(role, 'no version')}" for role in roles)


def _describe_file(traffic: Traffic | str | None) -> str:
    if traffic is None:
        return "there is no traffic file"
    if isinstance(traffic, str):
        return traffic
    return f"by the traffic file, of revision {traffic.revision}, {_describe_traffic(traffic)}"


def _describe_traffic(traffic: Traffic) -> str:
    parts = [f"{role} is {served.semantic_version}" for role, served in traffic.releases] or ["nothing answers"]
    weights = [f"with weight {traffic.challenger.weight:g}"] if traffic.challenger else []
    return ", ".join((*parts, *weights))
