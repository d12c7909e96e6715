"""Trainings as MLflow runs: parameters, metrics and gates, with a nested run per trial."""

import hashlib
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import url2pathname

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, ViewType
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID
from mlflow.utils.validation import MAX_ENTITY_KEY_LENGTH, MAX_PARAM_VAL_LENGTH, MAX_TAG_VAL_LENGTH
from pydantic import ValidationError

from athanor.errors import ReleaseError
from athanor.registry.tracking.database import all_pages
from athanor.release.files import MODEL_CARD, TRAINING, Release
from athanor.release.manifest import Identity, Provenance
from athanor.release.record import Estimate, GateResult, TrainingRecord, Trial
from athanor.system.durability import make_folder, sync_tree

_KIND: Final = "athanor.kind"
_STATUS: Final = "athanor.status"
_DIGEST: Final = "digest"
_LONGEST_SUFFIX: Final = 8
# Tags that MLflow sets itself: the run's name, its author, its parent.
_OF_MLFLOW: Final = "mlflow."
# MLflow makes it for runs without an experiment.
_DEFAULT_EXPERIMENT: Final = "0"


@dataclass(frozen=True)
class Training:
    """A training to record.

    Attributes:
        identity: of the release that it made, or would have made; None for a search alone.
        card: the model card, in HTML.
    """

    record: TrainingRecord
    identity: Identity | None = None
    provenance: Provenance | None = None
    card: bytes | None = None


def read_training(release: Release) -> Training:
    """The training that made a release. Raises ReleaseError if the release has no valid record of it."""
    content = release.files.get(TRAINING)
    if content is None:
        raise ReleaseError(f"release {release.digest} contains no {TRAINING}; train it again with this Athanor")
    try:
        record = TrainingRecord.model_validate_json(content)
    except ValidationError as error:
        raise ReleaseError(f"{TRAINING} of release {release.digest} is not a record of a training: {error}") from None
    return Training(record, release.identity, release.manifest.provenance, release.files.get(MODEL_CARD))


def describe_gates(gates: Iterable[GateResult]) -> str:
    """A summary: "4 of 5 passed"."""
    passed = [gate.passed for gate in gates]
    return f"{sum(passed)} of {len(passed)} passed"


class Runs:
    """The runs of a registry. Writers hold the registry's lock."""

    def __init__(self, client: MlflowClient, artifacts_root: str) -> None:
        self._client = client
        self._artifacts_root = artifacts_root

    def record(self, training: Training) -> str:
        """Records a training, unless it is recorded already, and returns the id of its run."""
        model = training.record.model
        if training.identity and (known := self.find(model, training.identity.digest, training.record.status)):
            return known
        experiment = self._open_experiment(model)
        run = self._client.create_run(experiment, run_name=_name_run(training), tags=_tags(training))
        run_id = str(run.info.run_id)
        self._log(run_id, _parameters(training), _metrics(training))
        for rank, trial in enumerate(training.record.trials, start=1):
            self._record_trial(experiment, run_id, rank, trial)
        self._keep_documents(run_id, training)
        # Last: a run that never finishes is one whose writer died.
        self._client.set_terminated(run_id)
        return run_id

    def find(self, model: str, digest: str, status: str = "passed") -> str | None:
        """The id of the run of a completely recorded training; None if there is none."""
        conditions = {f"tags.{_DIGEST}": digest, f"tags.`{_STATUS}`": status, "attributes.status": "FINISHED"}
        found = self._search(model, conditions)
        return str(found[0].info.run_id) if found else None

    def list_recorded(self, model: str) -> set[str]:
        """Digests of the releases whose training is completely recorded."""
        runs = self._search(model, {f"tags.`{_STATUS}`": "passed", "attributes.status": "FINISHED"})
        return {str(run.data.tags[_DIGEST]) for run in runs if _DIGEST in run.data.tags}

    def list_altered(self, training: Training) -> list[str]:
        """What differs from a recorded training in its run: names of tags, parameters and metrics, sorted."""
        if training.identity is None or (run_id := self.find(training.record.model, training.identity.digest)) is None:
            return []
        run = self._client.get_run(run_id)
        tags = {name: value for name, value in run.data.tags.items() if not name.startswith(_OF_MLFLOW)}
        parameters = _texts(_parameters(training))
        metrics = {_clean(name): value for name, value, _ in _metrics(training)}
        pairs = ((tags, _tags(training)), (run.data.params, parameters), (run.data.metrics, metrics))
        altered = {name for found, wanted in pairs for name in {*found, *wanted} if found.get(name) != wanted.get(name)}
        return sorted(altered | ({"name"} if run.info.run_name != _name_run(training) else set()))

    def list_models(self) -> list[str]:
        """Models with a training, recorded completely or in part."""
        experiments = self._client.search_experiments(view_type=ViewType.ALL)
        return [found.name for found in experiments if found.experiment_id != _DEFAULT_EXPERIMENT]

    def list_unfinished(self, model: str) -> list[str]:
        """Runs of incompletely recorded trainings. The caller holds the lock, so no writer is at work on them."""
        runs = self._search(model, {f"tags.`{_KIND}`": "training", "attributes.status": "RUNNING"})
        return [str(run.info.run_id) for run in runs]

    def remove(self, model: str, run_id: str) -> None:
        """Marks a training and its trials as deleted; `mlflow gc` removes them for good."""
        for run in self._search(model, {f"tags.`{MLFLOW_PARENT_RUN_ID}`": run_id}):
            self._client.delete_run(run.info.run_id)
        self._client.delete_run(run_id)

    def _search(self, model: str, conditions: Mapping[str, str]) -> list[Run]:
        experiment = self._client.get_experiment_by_name(model)
        if experiment is None:
            return []
        wanted = " AND ".join(f"{name} = '{value}'" for name, value in conditions.items())
        return all_pages(lambda token: self._client.search_runs([experiment.experiment_id], wanted, page_token=token))

    def _open_experiment(self, model: str) -> str:
        experiment = self._client.get_experiment_by_name(model)
        if experiment is None:
            # By default, MLflow writes to the working directory.
            return str(self._client.create_experiment(model, artifact_location=f"{self._artifacts_root}/{model}"))
        if experiment.lifecycle_stage == "deleted":
            self._client.restore_experiment(experiment.experiment_id)
        return str(experiment.experiment_id)

    def _record_trial(self, experiment: str, parent: str, rank: int, trial: Trial) -> None:
        tags = {MLFLOW_PARENT_RUN_ID: parent, _KIND: "trial", "rank": str(rank)}
        run = self._client.create_run(experiment, run_name=f"{rank}: {trial.algorithm}", tags=tags)
        scores = [score for score in trial.scores if score is not None]
        measured = [("score", score, fold) for fold, score in enumerate(trial.scores) if score is not None]
        if scores and len(scores) == len(trial.scores):
            measured.append(("mean", sum(scores) / len(scores), 0))
        measured.append(("fit_s", trial.fit_s, 0))
        self._log(run.info.run_id, {"algorithm": trial.algorithm, **trial.parameters}, measured)
        self._client.set_terminated(run.info.run_id)

    def _log(self, run_id: str, parameters: Mapping[str, Any], metrics: Iterable[tuple[str, float, int]]) -> None:
        at = int(time.time() * 1000)
        self._client.log_batch(
            run_id,
            metrics=[Metric(_clean(name), value, at, step) for name, value, step in metrics],
            params=[Param(name, value) for name, value in _texts(parameters).items()],
        )

    def _keep_documents(self, run_id: str, training: Training) -> None:
        documents = {TRAINING: training.record.model_dump_json(indent=2).encode()}
        if training.card is not None:
            documents[MODEL_CARD] = training.card
        with TemporaryDirectory() as folder, self._durable_artifacts(run_id):
            for name, content in documents.items():
                (Path(folder) / name).write_bytes(content)
            self._client.log_artifacts(run_id, folder)

    @contextmanager
    def _durable_artifacts(self, run_id: str) -> Iterator[None]:
        """Flushes the artifacts of a run that are written within, if they are local files: MLflow does not."""
        location = urlsplit(self._client.get_run(run_id).info.artifact_uri)
        if location.scheme != "file":
            yield
            return
        folder = Path(url2pathname(location.path))
        make_folder(folder)
        yield
        sync_tree(folder)


def _name_run(training: Training) -> str:
    made = training.identity.digest[:12] if training.identity else "search"
    return f"{training.record.status}: {made}"


def _tags(training: Training) -> dict[str, str]:
    record, identity, provenance = training.record, training.identity, training.provenance
    tags = {_KIND: "training", _STATUS: record.status, "gates": describe_gates(record.gates)}
    if identity:
        tags[_DIGEST] = identity.digest
    if provenance:
        values = provenance.model_dump(mode="json", exclude={"libraries"})
        tags.update({f"provenance.{name}": str(value) for name, value in values.items()})
    for gate in record.gates:
        verdict = "passed" if gate.passed else "FAILED"
        tags[f"gate.{gate.gate}"] = f"{verdict}: {gate.explanation}; wanted: {gate.wanted}"
    return _fit(tags, MAX_TAG_VAL_LENGTH)


def _parameters(training: Training) -> dict[str, Any]:
    record, identity = training.record, training.identity
    if identity is None:
        best = record.trials[:1]
        return {"scoring": record.scoring, **{f"best.{name}": v for trial in best for name, v in _of_trial(trial)}}
    parts = ("contract", "snapshot", "features", "recipe", "algorithm", "seed", "calibration")
    return {
        **{name: getattr(identity, name) for name in parts},
        "scoring": record.scoring,
        **identity.parameters,
    }


def _of_trial(trial: Trial) -> Iterator[tuple[str, Any]]:
    yield "algorithm", trial.algorithm
    yield from trial.parameters.items()


def _metrics(training: Training) -> Iterator[tuple[str, float, int]]:
    record = training.record
    for prefix, estimates in (("", record.metrics), ("baseline.", record.baseline)):
        for name, estimate in estimates.items():
            for part in Estimate.model_fields:
                suffix = "" if part == "value" else f".{part}"
                yield f"{prefix}{name}{suffix}", getattr(estimate, part), 0
    for name in ("rows_trained", "rows_evaluated"):
        yield name, float(getattr(record, name)), 0
    for name, value in record.label.items():
        yield f"label.{name}", value, 0
    for name, seconds in record.seconds.items():
        yield f"seconds.{name}", seconds, 0


def _texts(parameters: Mapping[str, Any]) -> dict[str, str]:
    return _fit({name: str(value) for name, value in parameters.items()}, MAX_PARAM_VAL_LENGTH)


def _fit(texts: Mapping[str, str], longest: int) -> dict[str, str]:
    """Shortens names and values to MLflow's limits, and keeps names distinct; training.json has them in full."""
    fitted: dict[str, str] = {}
    for name, value in texts.items():
        clean = own = _clean(name)
        number = 1
        while own in fitted:
            number += 1
            own = f"{clean[: MAX_ENTITY_KEY_LENGTH - _LONGEST_SUFFIX]} {number}"
        fitted[own] = _shorten(value, longest)
    return fitted


def _clean(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.\- ]", "_", name)[:MAX_ENTITY_KEY_LENGTH]


def _shorten(value: str, longest: int) -> str:
    if len(value) <= longest:
        return value
    end = f"… {len(value)} characters, sha256 {hashlib.sha256(value.encode()).hexdigest()}"
    return value[: longest - len(end)] + end
