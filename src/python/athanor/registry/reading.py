"""What the registry remembers, as it is read: by anybody, at any time, also while somebody writes."""

from typing import Final

from mlflow import MlflowClient
from mlflow.entities.model_registry import RegisteredModel
from mlflow.exceptions import MlflowException

from athanor.errors import NotFoundError
from athanor.registry.history import Move, Registered, read_moves, read_version
from athanor.registry.settings import RegistrySettings
from athanor.registry.tracking.database import all_pages, told

_SHORTEST_DIGEST: Final = 6


class RegistryReader:
    """Versions and moves of models."""

    def __init__(self, settings: RegistrySettings, client: MlflowClient) -> None:
        self.settings = settings
        self.client = client

    def list_models(self) -> list[str]:
        """Those that have a version, or had one."""
        with told(self.settings):
            found = all_pages(lambda token: self.client.search_registered_models(page_token=token))
            return sorted(model.name for model in found)

    def list_versions(self, model: str) -> list[Registered]:
        """All versions, newest first; empty for a model that was never registered."""
        with told(self.settings):
            registered = self.find_model(model)
            if registered is None:
                return []
            aliases = {alias: int(number) for alias, number in registered.aliases.items()}
            moves = read_moves(registered)
            traffic = moves[-1].traffic if moves else None
            wanted = f"name = '{model}'"
            found = all_pages(lambda token: self.client.search_model_versions(wanted, page_token=token))
            versions = (read_version(version, aliases, traffic) for version in found)
            return sorted(versions, key=lambda version: -version.number)

    def find_version(self, model: str, reference: str) -> Registered:
        """The version that is meant.

        Args:
            reference: a semantic version, or how a digest begins, with at least six digits.

        Raises:
            NotFoundError: there is none, or more than one.
        """
        versions = self.list_versions(model)
        found = [version for version in versions if version.semantic_version == reference]
        if not found and len(reference) >= _SHORTEST_DIGEST:
            found = [version for version in versions if version.digest.startswith(reference)]
        if len(found) != 1:
            known = ", ".join(version.semantic_version for version in versions) or "none"
            problem = f"{len(found)} versions that begin with" if found else "no version"
            raise NotFoundError(f"{model} has {problem} {reference}; registered are: {known}")
        return found[0]

    def list_moves(self, model: str) -> list[Move]:
        """All moves, oldest first; empty for a model that was never promoted."""
        with told(self.settings):
            return read_moves(self.find_model(model))

    def find_model(self, model: str) -> RegisteredModel | None:
        """What MLflow knows of a model."""
        try:
            return self.client.get_registered_model(model)
        except MlflowException as error:
            # The second is what it says of a name that no model can have.
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise
