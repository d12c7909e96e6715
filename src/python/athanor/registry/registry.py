"""The registry: MLflow on SQLite remembers versions, aliases and moves, and the release store publishes them."""

import json
import logging
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

# Before mlflow is imported: it would otherwise report its use to its makers, and look for git at import.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")

from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from athanor.errors import NotFoundError
from athanor.registry.versioning import next_version
from athanor.release.files import Release
from athanor.release.store import ReleaseStore, Served, Traffic
from athanor.user import user_name

CHAMPION: Final = "champion"
_MOVE_TAG: Final = "move."


@dataclass(frozen=True)
class Registered:
    """One registered version of a model.

    Attributes:
        number: as MLflow counts, from 1.
        aliases: `champion` or none.
    """

    model: str
    number: int
    semantic_version: str
    digest: str
    aliases: tuple[str, ...]


@dataclass(frozen=True)
class Move:
    """One change of the champion. Moves are only ever added.

    Attributes:
        revision: from 1; that of the traffic file it published.
        semantic_version, digest: of the release that became champion.
        by: user name of who did it.
        at: ISO 8601, UTC.
    """

    revision: int
    kind: Literal["promote", "rollback"]
    semantic_version: str
    digest: str
    by: str
    at: str


class Registry:
    """Versions of models, in a folder."""

    def __init__(self, folder: Path, store: ReleaseStore) -> None:
        """Opens the registry of a folder, and makes its database if there is none."""
        folder.mkdir(parents=True, exist_ok=True)
        # Making or migrating its tables is told on the terminal otherwise, line by line.
        logging.getLogger("alembic").setLevel(logging.WARNING)
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        address = f"sqlite:///{folder / 'mlflow.db'}"
        self._client = MlflowClient(tracking_uri=address, registry_uri=address)
        self._store = store

    def register(self, release: Release) -> tuple[Registered, bool]:
        """Publishes a release and gives it its semantic version.

        Returns:
            The version, and whether it is new: an identical release keeps the version it has.
        """
        model = release.identity.model
        # Before anything refers to it; and a known one again, for its copy may have been damaged and removed.
        self._store.publish(release)
        versions = self.list_versions(model)
        known = next((version for version in versions if version.digest == release.digest), None)
        if known:
            return known, False
        latest = versions[0] if versions else None
        before = (latest.semantic_version, self._store.read(model, latest.digest)) if latest else None
        semantic_version = next_version(before, release)
        if not versions:
            self._create_model(model)
        created = self._client.create_model_version(
            model,
            source=f"athanor:/{model}/{release.digest}",
            run_id=self._log_run(release),
            tags={"digest": release.digest, "semantic_version": semantic_version},
        )
        return _to_registered(created, ()), True

    def list_versions(self, model: str) -> list[Registered]:
        """All versions, newest first; empty for a model that was never registered."""
        registered = self._registered_model(model)
        if registered is None:
            return []
        aliases = dict(registered.aliases)
        found = self._client.search_model_versions(f"name = '{model}'", max_results=10_000)
        versions = [_to_registered(v, tuple(a for a, n in aliases.items() if int(n) == int(v.version))) for v in found]
        return sorted(versions, key=lambda version: -version.number)

    def promote(self, model: str, semantic_version: str) -> Traffic:
        """Makes a version champion and publishes the traffic file; does nothing if it is champion.

        Raises:
            NotFoundError: there is no such version.
        """
        versions = self.list_versions(model)
        found = next((version for version in versions if version.semantic_version == semantic_version), None)
        if found is None:
            known = ", ".join(version.semantic_version for version in versions) or "none"
            raise NotFoundError(f"{model} has no version {semantic_version}; registered are: {known}")
        return self._move(found, "promote")

    def rollback(self, model: str) -> Traffic:
        """Makes the version champion again that was before the present one.

        Raises:
            NotFoundError: there was none before.
        """
        moves = self.list_moves(model)
        earlier = _champion_before(moves)
        if earlier is None:
            raise NotFoundError(f"{model} has no earlier champion to roll back to")
        version = next(v for v in self.list_versions(model) if v.digest == earlier.digest)
        return self._move(version, "rollback")

    def list_moves(self, model: str) -> list[Move]:
        """All moves, oldest first; empty for a model that was never promoted."""
        tags = self._model_tags(model)
        return [Move(**json.loads(tags[key])) for key in sorted(tags) if key.startswith(_MOVE_TAG)]

    def _move(self, version: Registered, kind: Literal["promote", "rollback"]) -> Traffic:
        """Record, alias, traffic file, in this order: serving never answers with a release that no record names."""
        moves = self.list_moves(version.model)
        if not moves or moves[-1].digest != version.digest:
            now = datetime.now(UTC).isoformat(timespec="seconds")
            moves.append(Move(len(moves) + 1, kind, version.semantic_version, version.digest, by=user_name(), at=now))
            move = moves[-1]
            self._client.set_registered_model_tag(
                version.model, f"{_MOVE_TAG}{move.revision:06d}", json.dumps(asdict(move))
            )
        self._client.set_registered_model_alias(version.model, CHAMPION, str(version.number))
        served = Served(digest=version.digest, semantic_version=version.semantic_version)
        traffic = Traffic(model=version.model, revision=moves[-1].revision, champion=served)
        self._store.write_traffic(traffic)
        return traffic

    def _create_model(self, model: str) -> None:
        try:
            self._client.create_registered_model(model)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _log_run(self, release: Release) -> str:
        identity = release.identity
        experiment = self._client.get_experiment_by_name(identity.model)
        experiment_id = experiment.experiment_id if experiment else self._client.create_experiment(identity.model)
        run = self._client.create_run(experiment_id, run_name=release.digest[:12], tags={"digest": release.digest})
        at = run.info.start_time
        parameters = {"algorithm": identity.algorithm, "snapshot": identity.snapshot, **identity.parameters}
        self._client.log_batch(
            run.info.run_id,
            metrics=[
                *(Metric(name, value, at, 0) for name, value in identity.metrics.items()),
                *(Metric(f"baseline_{name}", value, at, 0) for name, value in identity.baseline.items()),
            ],
            params=[Param(name, str(value)) for name, value in parameters.items()],
        )
        self._client.set_terminated(run.info.run_id)
        return str(run.info.run_id)

    def _registered_model(self, model: str) -> Any:
        try:
            return self._client.get_registered_model(model)
        except MlflowException as error:
            # The second is what it says of a name that no model can have.
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise

    def _model_tags(self, model: str) -> dict[str, str]:
        found = self._registered_model(model)
        return dict(found.tags) if found else {}


def _to_registered(version: ModelVersion, aliases: Iterable[str]) -> Registered:
    return Registered(
        model=version.name,
        number=int(version.version),
        semantic_version=version.tags["semantic_version"],
        digest=version.tags["digest"],
        aliases=tuple(aliases),
    )


def _champion_before(moves: list[Move]) -> Move | None:
    """The move to undo to. Each rollback goes one further back, through promotions only."""
    stack: list[Move] = []
    for move in moves:
        if move.kind == "rollback":
            stack.pop()
        else:
            stack.append(move)
    return stack[-2] if len(stack) > 1 else None
