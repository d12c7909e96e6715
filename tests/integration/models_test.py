"""One service of every model of a store: models come, break and overload, and the others notice nothing of it."""

import json
import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import httpx
import pytest
from google.protobuf import json_format
from integration.doors import ALL_DOORS, Doors, Refused, Told, count
from integration.load import Load, ModelLoad
from integration.made_models import MadeModels, flip_last_bit
from integration.newcomer import Stranger, waiting
from integration.programs import run_program
from integration.service import Service, running_service
from support.commands import run
from support.flights import make_columns, make_flight
from support.processes import nothing_survives, wait_until
from support.questions import QUESTIONS, Question
from support.releases import expected_probability
from support.wires import repackage

from athanor.client.connection.retries import RetryPolicy
from athanor.contract.contract import Contract
from athanor.contract.messages import to_messages
from athanor.home import Home
from athanor.release.files import REFERENCE_ROWS
from delays.v1 import delays_pb2
from projects.delays.model import MODEL

# Docs promise two seconds. A test that measures prints its figures, and fails by what a busy machine never needs.
_PATIENCE_S: Final = 120.0
_CALLS_PER_S: Final = 25.0
_CALLERS: Final = 8
_FLOODED: Final = ("grpc", "rest")
_RETRY: Final = RetryPolicy(patience_s=120)
_CROWDED: Final = repackage("crowded.v1")
_FIRST: Final = repackage("first.v1")
_SECOND: Final = repackage("second.v1")
_MIDDLES: Final = {"first": 1_500.0, "second": 500.0}
_ROWS: Final = to_messages(MODEL.contract.columns, make_columns(20), delays_pb2.Flight)
_EXPECTED: Final = {
    name: [expected_probability(row.distance, middle) for row in _ROWS] for name, middle in _MIDDLES.items()
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeModels:
    """A home without a model."""
    return MadeModels.open(Home(tmp_path_factory.mktemp("models") / "home"))


@pytest.fixture(scope="module")
def running(made: MadeModels) -> Iterator[Service]:
    """A service of every model, before there is one."""
    flags = ("--prediction-log", made.home.path / "log", "--max-in-flight-by-model", f"{_CROWDED.name}=1")
    with nothing_survives(), running_service(made.home, *flags, models=()) as service:
        assert service.name == "models"
        status, shown = service.status()
        assert (status, [replica["models"] for replica in shown["replicas"]]) == (0, [{}])
        assert httpx.get(f"http://{service.http}/readyz", trust_env=False).status_code == 200
        yield service


@pytest.fixture(scope="module")
def both(running: Service, made: MadeModels) -> Iterator[dict[str, Doors]]:
    """Two models that answer differently."""
    for contract in (_FIRST, _SECOND):
        made.promote(contract, _MIDDLES[contract.name])
    assert wait_until(lambda: set(_MIDDLES) <= _answering(running), _PATIENCE_S), running.replicas
    with Doors.opened(running, _FIRST) as first, Doors.opened(running, _SECOND) as second:
        yield {first.model: first, second.model: second}


def _answering(service: Service) -> set[str]:
    """The models that every replica answers for."""
    each = [{name for name, model in replica.models.items() if model.traffic} for replica in service.replicas]
    return set.intersection(*each) if each else set()


def _ask(doors: Doors, rows: Sequence[delays_pb2.Flight] = _ROWS[:3]) -> dict[str, Told | Refused]:
    """What every door says."""
    return {name: door(doors, rows) for name, door in ALL_DOORS.items()}


def _answers(doors: Doors) -> bool:
    """Whether every door answers by the model's own numbers."""
    told = _ask(doors)
    return all(
        isinstance(each, Told)
        and each.probabilities == pytest.approx(_EXPECTED[doors.model][:3], abs=1e-6)
        and each.fields["model"] == doors.model
        for each in told.values()
    )


def test_a_project_that_did_not_exist_answers_strangers_at_every_door(
    running: Service, made: MadeModels, tmp_path: Path
) -> None:
    before, contract = [replica.pid for replica in running.replicas], repackage("arrivals.v1")
    flight = make_flight()
    row = json_format.MessageToDict(flight, preserving_proto_field_name=True)
    stranger = Stranger(running, contract.name, row)
    with waiting(stranger.doors) as seen:
        published = made.promote(contract)
        answers = {door: future.result() for door, future in seen.items()}
    print({door: f"{answer.at - published:.2f} s" for door, answer in answers.items()})  # noqa: T201 - what was measured
    assert {answer.version for answer in answers.values()} == {"1.0.0"}
    probabilities = [answer.probability for answer in answers.values() if answer.probability is not None]
    assert probabilities == pytest.approx([expected_probability(flight.distance)] * 4, abs=1e-6)
    _tritons_client_works(running, made, contract, tmp_path)
    assert [replica.pid for replica in running.replicas] == before


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.contract.name)
def test_answers_of_several_columns_come_to_tritons_client(
    running: Service, made: MadeModels, question: Question, tmp_path: Path
) -> None:
    made.promote_question(question)
    assert wait_until(lambda: question.contract.name in _answering(running), _PATIENCE_S), running.replicas
    _tritons_client_works(running, made, question.contract, tmp_path)


def _tritons_client_works(service: Service, made: MadeModels, contract: Contract, folder: Path) -> None:
    reference = made.read(contract).json(REFERENCE_ROWS)
    case = {
        "model": contract.name,
        "version": "1.0.0",
        "rows": reference["rows"],
        "answers": reference["answers"],
    }
    (folder / "case.json").write_text(json.dumps(case))
    doors = ("--grpc", service.grpc, "--http", service.http, "--token", service.token)
    done = run_program("triton", *doors, "--case", folder / "case.json", cwd=folder)
    assert done.returncode == 0, done.stdout


def test_a_model_that_cannot_be_loaded_takes_nothing_with_it(
    running: Service, made: MadeModels, both: dict[str, Doors]
) -> None:
    contract = repackage("broken.v1")
    with _loads(running) as loads:
        graph = made.promote_damaged(contract)
        try:
            assert wait_until(lambda: _fails(running, contract.name), _PATIENCE_S), running.replicas
            _the_failure_is_shown(running, both["first"], contract.name, graph)
            _a_new_replica_answers_for_the_others(running, contract.name, loads)
        finally:
            flip_last_bit(graph)
        # Mended, it answers without being promoted again.
        assert wait_until(lambda: contract.name in _answering(running), _PATIENCE_S), running.replicas
    for load in loads:
        assert not load.lost, load.lost[:5]
        assert {answer.version for answer in load.answers} == {"1.0.0"}
        assert all(abs(a.probability - _EXPECTED[load.model][a.row]) < 1e-6 for a in load.answers)
    assert running.status()[0] == 0


@contextmanager
def _loads(service: Service) -> Iterator[list[ModelLoad]]:
    """A constant load on each of two models."""
    with ExitStack() as stack:
        loads = [ModelLoad(service, _ROWS, _CALLS_PER_S, _RETRY, model=name) for name in _MIDDLES]
        for load in loads:
            stack.enter_context(load)
        _wait_for_answers(loads)
        yield loads
        _wait_for_answers(loads)


def _wait_for_answers(loads: Sequence[Load]) -> None:
    for load in loads:
        load.wait_for_answers(10)


def _fails(service: Service, model: str) -> bool:
    found = [replica.models.get(model) for replica in service.replicas]
    return bool(found) and all(status and status.failure for status in found)


def _the_failure_is_shown(service: Service, doors: Doors, model: str, graph: Path) -> None:
    status, shown = service.status()
    assert status == 1
    (replica,) = shown["replicas"]
    failures = {name: each["failure"] for name, each in replica["models"].items() if each["failure"]}
    assert failures.keys() == {model}
    assert str(graph) in failures[model]
    assert count(doors, "athanor_traffic_reload_failures_total", model=model) >= 1
    assert doors.rest.get(f"/v2/models/{model}/ready").status_code == 404
    assert doors.rest.get("/readyz").status_code == 200


def _a_new_replica_answers_for_the_others(service: Service, model: str, loads: Sequence[Load]) -> None:
    (before,) = service.replicas
    os.kill(before.pid, signal.SIGKILL)
    assert wait_until(lambda: [replica.pid for replica in service.replicas] not in ([], [before.pid]), _PATIENCE_S)
    _wait_for_answers(loads)
    assert _fails(service, model)


def test_a_model_that_overloads_takes_no_room_of_others(
    running: Service, made: MadeModels, both: dict[str, Doors]
) -> None:
    made.promote(_CROWDED)
    assert wait_until(lambda: _CROWDED.name in _answering(running), _PATIENCE_S), running.replicas
    many = [*_ROWS] * 250
    with (
        Doors.opened(running, _CROWDED) as doors,
        _loads(running) as loads,
        ThreadPoolExecutor(_CALLERS) as pool,
    ):
        told = list(pool.map(lambda number: ALL_DOORS[_FLOODED[number % 2]](doors, many), range(40)))
    refused = [each for each in told if isinstance(each, Refused)]
    assert 0 < len(refused) < len(told)
    assert {each.status for each in refused} <= {"429", "RESOURCE_EXHAUSTED"}
    assert all("of crowded are in flight, the limit of this model" in each.detail for each in refused)
    for load in loads:
        # A refusal would have been retried.
        assert (load.lost, load.retries) == ([], 0)
    assert count(both["first"], "athanor_requests_total", model=_CROWDED.name, code="OVERLOADED") == len(refused)


def test_a_token_opens_its_own_models_at_every_door(running: Service, made: MadeModels, both: dict[str, Doors]) -> None:
    named = ("shop", "--scope", "admin", "--model", "fir*", "--home", made.home.path)
    created = run("serving", "token", "create", *named)
    assert created.returncode == 0, created.stderr
    token = created.stdout.strip()
    with Doors.opened(running, _FIRST, token) as own, Doors.opened(running, _SECOND, token) as other:
        # A running service accepts it within a second.
        assert wait_until(lambda: isinstance(own.typed(_ROWS[:1]), Told), _PATIENCE_S)
        for name, told in _ask(own).items():
            assert isinstance(told, Told), (name, told)
        for name, told in _ask(other).items():
            assert isinstance(told, Refused), name
            assert told.status in {"403", "PERMISSION_DENIED"}, (name, told)
            assert "token shop is for models fir* alone; this is about second" in told.detail, (name, told)
        assert own.rest.get("/metrics").status_code == 403
        index = own.rest.post("/v2/repository/index").json()
        assert {entry["name"] for entry in index} == {own.model}


def test_each_model_has_its_own_metrics_and_prediction_log(
    running: Service, made: MadeModels, both: dict[str, Doors]
) -> None:
    before = _count_answered(both)
    assert all(map(_answers, both.values()))
    wanted = {name: answered + len(ALL_DOORS) for name, answered in before.items()}
    assert wait_until(lambda: _count_answered(both) == wanted, _PATIENCE_S), (before, _count_answered(both))
    logs = [made.home.path / "log" / name for name in both]
    assert wait_until(lambda: all(any(log.glob("date=*/*.parquet")) for log in logs), _PATIENCE_S), logs


def _count_answered(both: dict[str, Doors]) -> dict[str, float]:
    """The requests that each model has answered."""
    return {name: count(doors, "athanor_requests_total", model=name, code="OK") for name, doors in both.items()}
