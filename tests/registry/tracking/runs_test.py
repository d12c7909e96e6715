"""Trainings in MLflow: everything of every trial, once, and nothing in the working directory."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from sqlalchemy import Connection, Engine, event
from support.registries import MODEL, Workspace
from support.releases import make_files, make_identity, make_record

from athanor.registry.registry import Registry
from athanor.registry.tracking.runs import read_training
from athanor.release.files import MODEL_CARD, TRAINING, Release
from athanor.release.record import TrainingRecord

_CARD: Final = b"<!doctype html><title>what was tried</title>\n"
_COMMITS_OF_A_TRIAL: Final = 9


def _run(registry: Registry, run_id: str) -> Run:
    return registry.client.get_run(run_id)


def _children(registry: Registry, run_id: str) -> list[Run]:
    experiment = _run(registry, run_id).info.experiment_id
    found = registry.client.search_runs([experiment], f"tags.mlflow.parentRunId = '{run_id}'")
    return sorted(found, key=lambda run: int(run.data.tags["rank"]))


def _all_runs(client: MlflowClient) -> int:
    return len(client.search_runs([found.experiment_id for found in client.search_experiments()]))


def test_parameters_metrics_and_gates_of_a_release_are_recorded(registry: Registry, releases: list[Release]) -> None:
    training, identity = read_training(releases[0]), releases[0].identity
    run = _run(registry, registry.runs.record(training))
    assert run.info.status == "FINISHED"
    assert run.data.params == {
        "contract": identity.contract,
        "snapshot": identity.snapshot,
        "features": identity.features,
        "recipe": identity.recipe,
        "algorithm": "by distance",
        "seed": "0",
        "calibration": "None",
        "scoring": "average_precision",
        "middle": "1000.0",
    }
    assert run.data.metrics == {
        "roc_auc": 0.75,
        "roc_auc.low": 0.7,
        "roc_auc.high": 0.8,
        "baseline.roc_auc": 0.5,
        "baseline.roc_auc.low": 0.45,
        "baseline.roc_auc.high": 0.55,
        "rows_trained": 100,
        "rows_evaluated": 20,
        "label.rate": 0.25,
        "seconds.search": 2.0,
    }
    tags = run.data.tags
    assert tags["gate.floor of roc_auc"] == "passed: roc_auc is 0.75; wanted: at least 0.66"
    assert (tags["athanor.status"], tags["digest"], tags["gates"]) == ("passed", releases[0].digest, "1 of 1 passed")
    assert (tags["provenance.commit"], tags["provenance.is_clean"]) == ("0123456789abcdef", "True")


def test_each_trial_is_a_run_below(registry: Registry) -> None:
    run = registry.record(make_record())
    best, other = _children(registry, run)
    assert best.data.params == {"algorithm": "by distance", "middle": "1000.0"}
    assert (best.data.metrics["mean"], best.data.metrics["fit_s"]) == (0.625, 1.5)
    scores = registry.client.get_metric_history(best.info.run_id, "score")
    assert [(score.step, score.value) for score in scores] == [(0, 0.5), (1, 0.75)]
    # One of its scores is no number.
    assert other.data.metrics == {"score": 0.25, "fit_s": 0.5}


def test_record_and_card_are_kept_whole_and_nothing_else_is_written(
    registry: Registry, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    record = make_record()
    run = registry.record(record, card=_CARD)
    folder = workspace.home.registry / "artifacts" / MODEL / run / "artifacts"
    assert {path.name for path in folder.iterdir()} == {TRAINING, MODEL_CARD}
    assert (folder / MODEL_CARD).read_bytes() == _CARD
    assert TrainingRecord.model_validate_json((folder / TRAINING).read_bytes()) == record
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("status", ["refused", "tuned"])
def test_trainings_without_a_release_are_recorded_too(registry: Registry, status: str) -> None:
    identity = make_identity(make_files()) if status == "refused" else None
    run = _run(registry, registry.record(make_record(status=status), identity))
    assert run.data.tags["athanor.status"] == status
    assert run.info.run_name == f"{status}: {identity.digest[:12] if identity else 'search'}"
    if status == "tuned":
        assert run.data.params == {
            "scoring": "average_precision",
            "best.algorithm": "by distance",
            "best.middle": "1000.0",
        }


def test_a_training_is_recorded_once_and_a_refused_one_is_another(registry: Registry, releases: list[Release]) -> None:
    record, identity = make_record(), releases[0].identity
    first = registry.record(record, identity)
    refused = registry.record(make_record(status="refused"), identity)
    version, _ = registry.register(releases[0])
    assert registry.record(record, identity) == first == version.run
    assert refused != first
    assert _all_runs(registry.client) == 2 * (1 + len(record.trials))


def test_registering_records_a_training_that_was_not(registry: Registry, releases: list[Release]) -> None:
    version, _ = registry.register(releases[0])
    assert _run(registry, version.run).data.tags["digest"] == releases[0].digest
    assert len(_children(registry, version.run)) == 2


def test_what_was_removed_in_mlflow_is_recorded_again(registry: Registry) -> None:
    first = registry.record(make_record())
    registry.client.delete_experiment(_run(registry, first).info.experiment_id)
    second = registry.record(make_record())
    assert second != first
    assert _run(registry, second).info.lifecycle_stage == "active"


def _gate(name: str, explanation: str = "") -> dict[str, Any]:
    return {"gate": name, "passed": False, "value": None, "wanted": "more", "explanation": explanation}


def test_names_and_values_that_mlflow_does_not_take_are_recorded_all_the_same(registry: Registry) -> None:
    gates = [_gate("worse than 5 %"), _gate("worse than 5 ‰"), _gate("a/../b"), _gate("n" * 300, "x" * 9_000)]
    parameters = {"layers": "x" * 7_000, "a:b": 1, "a/b": 2, "größe": None}
    trials = [{"algorithm": "by distance", "parameters": parameters, "scores": [0.5], "fit_s": 1}]
    record = make_record(status="refused", gates=gates, trials=trials)
    run = registry.record(record)
    tags = {name: value for name, value in _run(registry, run).data.tags.items() if name.startswith("gate.")}
    assert set(tags) == {"gate.worse than 5 _", "gate.worse than 5 _ 2", "gate.a_.._b", f"gate.{'n' * 245}"}
    assert tags[f"gate.{'n' * 245}"].startswith("FAILED: xxx")
    assert "… 9022 characters, sha256 " in tags[f"gate.{'n' * 245}"]
    (trial,) = _children(registry, run)
    assert (trial.data.params["a_b"], trial.data.params["a_b 2"], trial.data.params["gr__e"]) == ("1", "2", "None")
    assert len(trial.data.params["layers"]) == 6_000


def test_more_gates_than_mlflow_takes_at_once_are_recorded(registry: Registry) -> None:
    run = registry.record(make_record(gates=[_gate(f"gate {number}") for number in range(250)]))
    assert sum(name.startswith("gate.") for name in _run(registry, run).data.tags) == 250


def _count_commits(record: Callable[[], object]) -> int:
    commits = []

    def count(connection: Connection) -> None:
        commits.append(connection)

    event.listen(Engine, "commit", count)
    record()
    event.remove(Engine, "commit", count)
    return len(commits)


def test_a_trial_costs_a_few_transactions_whatever_it_holds(registry: Registry) -> None:
    """Each is a write to the disk."""

    def record(trials: int, parameters: int) -> int:
        trial = {"algorithm": "by distance", "parameters": {f"p{n}": n for n in range(parameters)}, "fit_s": 1}
        made = make_record(trials=[{**trial, "scores": [0.5] * 5}] * trials)
        return _count_commits(lambda: registry.record(made))

    record(trials=1, parameters=1)
    alone = record(trials=0, parameters=0)
    assert record(trials=20, parameters=1) == record(trials=20, parameters=90)
    assert (record(trials=20, parameters=10) - alone) / 20 <= _COMMITS_OF_A_TRIAL


def test_a_home_that_was_copied_keeps_its_artifacts_with_it(workspace: Workspace, tmp_path: Path) -> None:
    first = workspace.open().record(make_record(), card=_CARD)
    copy = workspace.copy(tmp_path / "copy")
    registry = copy.open()
    second = registry.record(make_record(), card=_CARD)
    for run in (first, second):
        folder = copy.home.registry / "artifacts" / MODEL / run / "artifacts"
        assert _run(registry, run).info.artifact_uri == folder.as_uri()
        assert (folder / MODEL_CARD).read_bytes() == _CARD
    assert not (workspace.home.registry / "artifacts" / MODEL / second).exists()
    assert _run(workspace.open(), first).info.artifact_uri.startswith(workspace.home.registry.as_uri())


def test_artifacts_that_were_kept_elsewhere_stay_there(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    first = workspace.open().record(make_record())
    before = _run(workspace.open(), first).info.artifact_uri
    monkeypatch.setenv("ATHANOR_ARTIFACTS_URL", str(workspace.path / "other"))
    assert _run(workspace.open(), first).info.artifact_uri == before
