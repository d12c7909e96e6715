"""Reads the registry: at any time, also while another process writes."""

from typing import Final

from mlflow import MlflowClient
from mlflow.entities.model_registry import RegisteredModel
from mlflow.exceptions import MlflowException

from athanor.errors import NotFoundError
from athanor.registry.history import Move, Registered, read_moves, read_version
from athanor.registry.settings import RegistrySettings
from athanor.registry.tracking.database import all_pages, database_errors

_SHORTEST_DIGEST: Final = 6


class RegistryReader:
    """Versions and moves of models."""

    def __init__(self, settings: RegistrySettings, client: MlflowClient) -> None:
        self.settings = settings
        self.client = client

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
            moves = read_moves(registered)
            traffic = moves[-1].traffic if moves else None
            query = f"name = '{model}'"
            found = all_pages(lambda token: self.client.search_model_versions(query, page_token=token))
            versions = (read_version(version, aliases, traffic) for version in found)
            return sorted(versions, key=lambda version: -version.number)

    def find_version(self, model: str, reference: str) -> Registered:
        """Finds one version.

        Args:
            reference: a semantic version, or the first six or more digits of a digest.

        Raises:
            NotFoundError: no version matches, or several do.
        """
        versions = self.list_versions(model)
        found = [version for version in versions if version.semantic_version == reference]
        if not found and len(reference) >= _SHORTEST_DIGEST:
            found = [version for version in versions if version.digest.startswith(reference)]
        if len(found) != 1:
            known = ", ".join(version.semantic_version for version in versions) or "none"
            problem = f"{len(found)} versions whose digest begins with" if found else "no version"
            raise NotFoundError(f"{model} has {problem} {reference}; registered are: {known}")
        return found[0]

    def list_moves(self, model: str) -> list[Move]:
        """All moves, oldest first; empty for a model that was never promoted."""
        with database_errors(self.settings):
            return read_moves(self.find_model(model))

    def find_model(self, model: str) -> RegisteredModel | None:
        """The model as MLflow has it; None if it is unregistered."""
        try:
            return self.client.get_registered_model(model)
        except MlflowException as error:
            # MLflow answers the second for a name that no model can have.
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise
