"""Finds what was changed in MLflow by others: with its client, or in its database. The ledger has what was recorded."""

import warnings
from collections.abc import Iterator, Mapping

from mlflow.entities.model_registry import ModelVersion, RegisteredModel

from athanor.errors import ConflictError, ReleaseError, ServiceError
from athanor.registry.care.findings import Difference
from athanor.registry.history import PINNED_TAG, Registered, list_records, read_moves, read_source, version_tags
from athanor.registry.registry import Registry
from athanor.release.files import Release
from athanor.release.ledger import Assigned, Ledger
from athanor.release.traffic import PINNED, VARIANTS

_NO_STAGE = "None"


def find_renamed(registry: Registry) -> dict[str, str]:
    """Models that were renamed in MLflow: the new name of each."""
    names = registry.list_models()
    sources = {name: [read_source(entry) for entry in registry.list_entries(name)] for name in names}
    originals = {name: {source[0] for source in found if source} for name, found in sources.items()}
    return {
        original: name
        for name, found in originals.items()
        for original in found
        if len(found) == 1 and original not in names
    }


def examine_renamed(registry: Registry, original: str, name: str) -> Difference:
    return Difference(
        f"MLflow has it as {name}: it was renamed",
        "renames it back",
        lambda: registry.client.rename_registered_model(name, original),
    )


def examine_ledger(registry: Registry, model: str) -> Iterator[Difference]:
    """Examines what all other checks rely on: the ledger, the model itself, and the record of each move."""
    try:
        ledger = registry.store.find_ledger(model)
        read_moves(model, ledger.moves if ledger else {})
    except ReleaseError as error:
        yield Difference(str(error), "writes it again from MLflow", lambda: _rewrite(registry, model))
        return
    except ServiceError as error:
        yield Difference(str(error))
        return
    if ledger is None:
        yield from _examine_unkept(registry, model)
        return
    registered = registry.find_model(model)
    if registered is None and ledger.versions:
        counts = f"{len(ledger.versions)} versions and {len(ledger.moves)} moves"
        yield Difference(
            f"the model was deleted in MLflow, with {counts}",
            "creates it again with its moves; its versions follow",
            lambda: _create(registry, model, ledger),
        )
    elif registered is not None:
        yield from _examine_records(registry, registered, ledger)


def _rewrite(registry: Registry, model: str) -> None:
    registry.store.write_ledger(model, registry.read_unkept(model))


def _create(registry: Registry, model: str, ledger: Ledger) -> None:
    registry.client.create_registered_model(model)
    for name, content in ledger.moves.items():
        registry.client.set_registered_model_tag(model, name, content)


def _examine_records(registry: Registry, model: RegisteredModel, ledger: Ledger) -> Iterator[Difference]:
    found = list_records(model)
    for name, content in ledger.moves.items():
        if found.get(name) != content:
            yield Difference(
                f"the record {name} {'was changed' if name in found else 'is missing'} in MLflow",
                "writes it again from the ledger",
                lambda name=name, content=content: registry.client.set_registered_model_tag(  # type: ignore[misc]
                    model.name, name, content
                ),
            )
    for name in sorted(found.keys() - ledger.moves.keys()):
        yield Difference(
            f"the record {name} is in MLflow alone: no command of Athanor wrote it",
            "deletes it: the ledger has no such move",
            lambda name=name: registry.client.delete_registered_model_tag(model.name, name),  # type: ignore[misc]
        )


def _examine_unkept(registry: Registry, model: str) -> Iterator[Difference]:
    """A model without a ledger: from before there was one, or it was lost."""
    try:
        unkept = registry.read_unkept(model)
    except (ConflictError, ServiceError) as error:
        yield Difference(str(error))
        return
    if unkept.versions or unkept.moves:
        yield Difference(
            f"the ledger in the store lacks {len(unkept.versions)} versions and {len(unkept.moves)} moves",
            "writes them into it",
            lambda: registry.keep(model),
        )


def is_proved(registry: Registry, model: str) -> bool:
    """Whether versions and moves can be read and are proved; what hinders it was named before."""
    try:
        registry.list_versions(model)
        if registry.store.find_ledger(model) is None:
            registry.read_unkept(model)
    except (ConflictError, ReleaseError, ServiceError):
        return False
    return True


def examine_model(registry: Registry, model: str) -> Iterator[Difference]:
    """Names tags, aliases and versions that the registry did not write."""
    registered = registry.find_model(model)
    if registered is None:
        return
    records = list_records(registered)
    for tag in sorted(set(registered.tags) - records.keys()):
        yield Difference(
            f"the tag {tag} of the model was set outside of Athanor",
            "deletes it",
            lambda tag=tag: registry.client.delete_registered_model_tag(model, tag),  # type: ignore[misc]
        )
    for alias in sorted(set(registered.aliases) - set(VARIANTS)):
        yield Difference(
            f"the alias {alias} was set outside of Athanor",
            "deletes it",
            lambda alias=alias: registry.client.delete_registered_model_alias(model, alias),  # type: ignore[misc]
        )
    numbers = {version.number for version in registry.list_versions(model)}
    for entry in registry.list_entries(model):
        if int(entry.version) not in numbers:
            yield Difference(
                f"version {entry.version} in MLflow was created outside of Athanor, from {entry.source}",
                "deletes it in MLflow",
                lambda entry=entry: registry.client.delete_model_version(model, entry.version),  # type: ignore[misc]
            )


def examine_version(registry: Registry, version: Registered, release: Release) -> Iterator[Difference]:
    """Names what differs from the release in MLflow's version and in the run of its training."""
    entry = registry.client.get_model_version(version.model, str(version.number))
    assigned = Assigned(semantic_version=version.semantic_version, digest=version.digest, by=version.by)
    wanted = version_tags(assigned, is_clean=release.manifest.provenance.is_clean)
    # Which versions are pinned is compared with the last move.
    found = {name: value for name, value in entry.tags.items() if (name, value) != (PINNED_TAG, PINNED)}
    different = {name for name in {*wanted, *found} if wanted.get(name) != found.get(name)}
    if different:
        yield Difference(
            f"tags of version {version.semantic_version} were changed outside of Athanor: {_list(entry, different)}",
            "writes them as they were",
            lambda: _write_tags(registry, version, wanted, different),
        )
    if entry.current_stage not in (None, _NO_STAGE):
        yield Difference(
            f"the stage {entry.current_stage} of version {version.semantic_version} was set outside of Athanor",
            "removes it",
            lambda: _remove_stage(registry, version),
        )


def _list(entry: ModelVersion, names: set[str]) -> str:
    return ", ".join(f"{name} is {entry.tags.get(name, 'absent')}" for name in sorted(names))


def _write_tags(registry: Registry, version: Registered, wanted: Mapping[str, str], names: set[str]) -> None:
    for name in sorted(names):
        if name in wanted:
            registry.client.set_model_version_tag(version.model, str(version.number), name, wanted[name])
        else:
            registry.client.delete_model_version_tag(version.model, str(version.number), name)


def _remove_stage(registry: Registry, version: Registered) -> None:
    with warnings.catch_warnings():
        # MLflow warns that stages will go.
        warnings.simplefilter("ignore", FutureWarning)
        registry.client.transition_model_version_stage(version.model, str(version.number), _NO_STAGE)
