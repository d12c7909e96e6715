"""Reads the registry: at any time, also while another process writes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeVar

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion, RegisteredModel
from mlflow.exceptions import MlflowException

from athanor.errors import NotFoundError
from athanor.registry.history import Move, Registered, list_records, read_moves, read_version
from athanor.registry.settings import RegistrySettings
from athanor.registry.tracking.database import all_pages, database_errors
from athanor.release.ledger import Assigned
from athanor.release.store import ReleaseStore
from athanor.release.traffic import Served

_SHORTEST_DIGEST: Final = 6


class RegistryReader:
    """Versions and moves of models."""

    def __init__(self, settings: RegistrySettings, client: MlflowClient) -> None:
        self.settings = settings
        self.client = client
        self.store = ReleaseStore(settings.store_url)

    def list_models(self) -> list[str]:
        """Models that have a version, or had one."""
        with database_errors(self.settings):
            found = all_pages(lambda token: self.client.search_registered_models(page_token=token))
            return sorted(model.name for model in found)

    def list_versions(self, model: str) -> list[Registered]:
        """All versions, newest first; empty for an unregistered model."""
        with database_errors(self.settings):
            registered = self.find_model(model)
            if registered is None:
                return []
            aliases = {alias: int(number) for alias, number in registered.aliases.items()}
            ledger = self.store.find_ledger(model)
            moves = self.list_moves(model)
            traffic = moves[-1].traffic if moves else None
            read = (read_version(version, aliases, ledger, traffic) for version in self.list_entries(model))
            versions: dict[str, Registered] = {}
            for version in filter(None, read):
                # A second one of the same release was created by others.
                versions.setdefault(version.digest, version)
            return sorted(versions.values(), key=lambda version: version.order, reverse=True)

    def list_entries(self, model: str) -> list[ModelVersion]:
        """All versions that MLflow has of a model, oldest first: also those that others created."""
        query = f"name = '{model}'"
        found = all_pages(lambda token: self.client.search_model_versions(query, page_token=token))
        return sorted(found, key=lambda version: int(version.version))

    def list_assigned(self, model: str) -> list[Assigned]:
        """Every number that was ever assigned, newest first, whether or not MLflow still has its version."""
        moved = list_moved(self.list_moves(model))
        listed = (
            Assigned(semantic_version=version.semantic_version, digest=version.digest, by=version.by)
            for version in self.list_versions(model)
        )
        # What comes later counts.
        found = {one.digest: one for one in (*moved, *listed, *self.store.read_ledger(model).versions)}
        return sorted(found.values(), key=lambda one: one.order, reverse=True)

    def find_version(self, model: str, reference: str) -> Registered:
        """Finds one version.

        Args:
            reference: a semantic version, or the first six or more digits of a digest.

        Raises:
            NotFoundError: no version matches, or several do.
        """
        versions = self.list_versions(model)
        found = match(versions, reference)
        if len(found) == 1:
            return found[0]
        if lost := [] if found else match(self.list_assigned(model), reference):
            raise NotFoundError(
                f"version {lost[0].semantic_version} of {model} was deleted in MLflow; register it again under its "
                "number by `athanor registry doctor --mend`"
            )
        known = ", ".join(version.semantic_version for version in versions) or "none"
        problem = f"{len(found)} versions whose digest begins with" if found else "no version"
        raise NotFoundError(f"{model} has {problem} {reference}; registered are: {known}")

    def list_moves(self, model: str) -> list[Move]:
        """All moves, oldest first; empty for a model that was never promoted.

        Raises:
            ServiceError: their chain is broken.
        """
        with database_errors(self.settings):
            return read_moves(model, self.list_records(model))

    def list_records(self, model: str) -> Mapping[str, str]:
        """The record of each move by its name: by the ledger, which MLflow's users cannot write.

        For a model from before there was a ledger, by MLflow.
        """
        if ledger := self.store.find_ledger(model):
            return ledger.moves
        registered = self.find_model(model)
        return list_records(registered) if registered else {}

    def find_model(self, model: str) -> RegisteredModel | None:
        """The model as MLflow has it; None if it is unregistered."""
        try:
            return self.client.get_registered_model(model)
        except MlflowException as error:
            # MLflow answers the second for a name that no model can have.
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise


def list_moved(moves: Iterable[Move]) -> Iterator[Assigned]:
    """The versions that moves name."""
    for move in moves:
        for _, served in move.traffic.releases:
            yield Assigned(**served.model_dump(include={"semantic_version", "digest"}), by=move.by)


_Numbered = TypeVar("_Numbered", Registered, Assigned, Served)


def match(versions: Sequence[_Numbered], reference: str) -> list[_Numbered]:
    """The versions with this number, else those whose digest begins with it."""
    found = [version for version in versions if version.semantic_version == reference]
    if not found and len(reference) >= _SHORTEST_DIGEST:
        found = [version for version in versions if version.digest.startswith(reference)]
    return found
