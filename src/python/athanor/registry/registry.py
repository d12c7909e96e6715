"""The registry: MLflow remembers trainings, versions, aliases and moves, and the release store publishes them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from mlflow import MlflowClient
from mlflow.entities.model_registry import RegisteredModel
from mlflow.exceptions import MlflowException

from athanor.errors import InputError, NotFoundError
from athanor.home import Home
from athanor.registry.database import all_pages, connect, told
from athanor.registry.history import (
    BY_TAG,
    CHAMPION,
    CLEAN_TAG,
    DIGEST_TAG,
    VERSION_TAG,
    Kind,
    Move,
    Registered,
    champion_before,
    now,
    read_moves,
    read_version,
)
from athanor.registry.lock import WriterLock
from athanor.registry.runs import Runs, Training, describe_gates, read_training
from athanor.registry.settings import RegistrySettings
from athanor.registry.versioning import next_version
from athanor.release.files import Release
from athanor.release.manifest import Identity, Provenance
from athanor.release.record import TrainingRecord
from athanor.release.store import ReleaseStore, Served, Traffic
from athanor.user import user_name

_PATIENCE_S: Final = 120.0
_SHORTEST_DIGEST: Final = 6


class Registry:
    """Versions of models, and which of them answers. One process writes at a time; the others wait for it."""

    def __init__(self, settings: RegistrySettings, patience_s: float = _PATIENCE_S) -> None:
        """Opens a registry, and makes its database if there is none.

        Args:
            patience_s: how long to wait for another who writes, in seconds.

        Raises:
            SettingsError: its database cannot be reached.
        """
        self.settings = settings
        self.store = ReleaseStore(settings.store_url)
        self._lock = WriterLock(settings, patience_s)
        self.client: MlflowClient = connect(settings, self._lock)
        self.runs = Runs(self.client, settings.artifacts_root)

    @classmethod
    def open(cls, home: Home) -> "Registry":
        """That of the environment's settings, else that below a home."""
        return cls(RegistrySettings.find(home))

    @contextmanager
    def writing(self) -> Iterator[None]:
        """The right to write, for as long as the context lasts. Taken again inside, it is the same.

        Raises:
            ConflictError: somebody else wrote for longer than one wants to wait.
            ServiceError: the database did not do what it was asked.
        """
        with told(self.settings), self._lock.held():
            yield

    def record(
        self,
        record: TrainingRecord,
        identity: Identity | None = None,
        provenance: Provenance | None = None,
        card: bytes | None = None,
    ) -> str:
        """Records a training, passed, refused or a search alone, and returns the id of its run.

        Args:
            identity: of the release that it made, or would have made. With it, a training is recorded once.
            card: the model card, in HTML.
        """
        with self.writing():
            return self.runs.record(Training(record, identity, provenance, card))

    def register(self, release: Release, *, allow_dirty: bool = False) -> tuple[Registered, bool]:
        """Publishes a release and gives it its semantic version.

        Args:
            allow_dirty: also one that was trained with what is in no commit. It stays marked so.

        Returns:
            The version, and whether it is new: an identical release keeps the version it has.

        Raises:
            InputError: it was trained with what is in no commit.
        """
        model = release.identity.model
        if not (release.manifest.provenance.is_clean or allow_dirty):
            raise InputError(
                f"release {release.digest[:12]} of {model} was trained with changes that are in no commit, and could "
                "never be made again. Commit them and train again, or register it with --allow-dirty: it stays marked"
            )
        training = read_training(release)
        with self.writing():
            # Before anything refers to it; and a known one again, for its copy may have been damaged and removed.
            self.store.publish(release)
            versions = self.list_versions(model)
            known = next((version for version in versions if version.digest == release.digest), None)
            return (known, False) if known else (self._add(release, training, versions), True)

    def _add(self, release: Release, training: Training, versions: Sequence[Registered]) -> Registered:
        model = release.identity.model
        latest = versions[0] if versions else None
        before = (latest.semantic_version, self.store.read(model, latest.digest)) if latest else None
        run = self.runs.record(training)
        if self.find_model(model) is None:
            self.client.create_registered_model(model)
        created = self.client.create_model_version(
            model,
            source=f"athanor:/{model}/{release.digest}",
            run_id=run,
            tags={
                DIGEST_TAG: release.digest,
                VERSION_TAG: next_version(before, release),
                CLEAN_TAG: "true" if release.manifest.provenance.is_clean else "false",
                BY_TAG: user_name(),
            },
        )
        return read_version(created, {})

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
            wanted = f"name = '{model}'"
            found = all_pages(lambda token: self.client.search_model_versions(wanted, page_token=token))
            return sorted((read_version(version, aliases) for version in found), key=lambda version: -version.number)

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

    def promote(self, model: str, reference: str, why: str) -> Traffic:
        """Makes a version champion and publishes the traffic file; is no move if it is champion.

        Args:
            reference: a semantic version, or how a digest begins.
            why: the reason, for the history.

        Raises:
            NotFoundError: there is no such version.
            InputError: no reason was given.
            ReleaseError: its copy in the store is damaged.
        """
        with self.writing():
            return self._move(self.find_version(model, reference), "promote", why)

    def rollback(self, model: str, why: str) -> Traffic:
        """Makes the version champion again that was before the present one.

        Raises:
            NotFoundError: there was none before.
            InputError, ReleaseError: as `promote`.
        """
        with self.writing():
            earlier = champion_before(self.list_moves(model))
            if earlier is None:
                raise NotFoundError(f"{model} has no earlier champion to roll back to")
            return self._move(self.find_version(model, earlier.digest), "rollback", why)

    def list_moves(self, model: str) -> list[Move]:
        """All moves, oldest first; empty for a model that was never promoted."""
        with told(self.settings):
            return read_moves(self.find_model(model))

    def publish_champion(self, move: Move, model: str) -> Traffic:
        """Lets alias and traffic file say what the last move says."""
        number = self.find_version(model, move.digest).number
        self.client.set_registered_model_alias(model, CHAMPION, str(number))
        served = Served(digest=move.digest, semantic_version=move.semantic_version)
        traffic = Traffic(model=model, revision=move.revision, champion=served)
        self.store.write_traffic(traffic)
        return traffic

    def _move(self, version: Registered, kind: Kind, why: str) -> Traffic:
        """Record, alias, traffic file, in this order: serving never answers with a release that no record names."""
        if not why.strip():
            raise InputError(f"a {kind} of {version.model} needs a reason, for its history; say why")
        training = read_training(self.store.read(version.model, version.digest))
        moves = self.list_moves(version.model)
        last = moves[-1] if moves else None
        if last is None or last.digest != version.digest:
            last = Move(
                revision=last.revision + 1 if last else 1,
                kind=kind,
                from_version=last.semantic_version if last else None,
                from_digest=last.digest if last else None,
                semantic_version=version.semantic_version,
                digest=version.digest,
                by=user_name(),
                at=now(),
                why=why.strip(),
                gates=describe_gates(training.record.gates),
            )
            self.client.set_registered_model_tag(version.model, *last.tag)
        return self.publish_champion(last, version.model)

    def find_model(self, model: str) -> RegisteredModel | None:
        """What MLflow knows of a model."""
        try:
            return self.client.get_registered_model(model)
        except MlflowException as error:
            # The second is what it says of a name that no model can have.
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise
