"""The command line, run as people run it, against a service in this process."""

import csv
import json
import resource
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
from client.reflecting import Described, make_next_major, one_by_one, reflecting
from client.scripted import ScriptedService, bad_request, echo, fail, fail_times, refuse_short_flights
from google.rpc import error_details_pb2
from support.commands import environment
from support.protos import Toy

from athanor.cli.client.app import DelayedBar
from athanor.contract.contract import Contract
from athanor.errors import FieldViolation

_HEADER: Final = "scheduled_departure,carrier,flight_number,origin,destination,scheduled_arrival_minute,distance\n"
_SECRET: Final = "athn_very-secret"  # noqa: S105 - opens nothing


def _run(
    *arguments: object, stdin: str | None = None, variables: dict[str, str] | None = None, model: str = "delays"
) -> "subprocess.CompletedProcess[str]":
    return _start(*arguments, variables=variables, model=model, input=stdin if stdin is not None else "")


def _start(
    *arguments: object, variables: dict[str, str] | None = None, model: str = "delays", **options: Any
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "athanor.cli.client.app", "predict", model, *map(str, arguments)],
        env={**environment(), "COLUMNS": "200", **(variables or {})},
        capture_output=True,
        **options,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


def _table(folder: Path, distances: list[float]) -> Path:
    """A CSV file of flights, numbered by position."""
    path = folder / "rows.csv"
    lines = [f"2013-01-01T10:15:00Z,UA,{row},EWR,IAH,819,{distance}\n" for row, distance in enumerate(distances)]
    path.write_text(_HEADER + "".join(lines))
    return path


def test_a_json_array_is_predicted(target: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text('[{"flight_number": 1000}, {"flight_number": 2000}]')
    done = _run(path, "--target", target, "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    by = {"semantic_version": "1.0.0", "variant": "champion", "request_id": "made by the server"}
    assert result["predictions"] == [
        {"row": 0, "late_probability": 0.1, **by},
        {"row": 1, "late_probability": 0.2, **by},
    ]
    share = {"model_name": "delays", "semantic_version": "1.0.0", "release_digest": "d" * 64}
    assert result["answered_by"] == [{**share, "variant": "champion", "rows": 2}]
    assert (result["rows"], result["retries"]) == (2, 0)


def test_people_get_a_table(target: str, tmp_path: Path) -> None:
    done = _run(_table(tmp_path, [100, 200]), "--target", target)
    assert done.returncode == 0, done.stderr
    assert all(word in done.stdout for word in ("late_probability", "0.0001", "champion", "1.0.0", "d" * 64))
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("form", "text"),
    [("csv", "flight_number\n1000\n"), ("jsonl", '{"flight_number": 1000}\n'), (None, '[{"flight_number": 1000}]')],
)
def test_standard_input_is_read(target: str, form: str | None, text: str) -> None:
    flags = ["--format", form] if form else []
    done = _run("-", "--json", *flags, stdin=text, variables={"ATHANOR_TARGET": target})
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["predictions"][0]["late_probability"] == 0.1


def test_a_byte_order_mark_is_skipped(target: str) -> None:
    done = _run("-", "--format", "csv", "--target", target, "--json", stdin="\ufeffflight_number\n1000\n")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("contract", "model", "rows"),
    [
        (Toy().read(), "toy", "at,color,amount\n2013-01-01T10:15:00Z,red,1.5\n,green,\n"),
        (make_next_major(Toy().read()), "toy.v2", "amount\n1\n2\n"),
    ],
    ids=["project", "major"],
)
def test_a_model_that_this_checkout_does_not_have_is_predicted(contract: Contract, model: str, rows: str) -> None:
    with reflecting(one_by_one(Described.of(contract).reply), contract) as target:
        done = _run("-", "--format", "csv", "--target", target, "--json", stdin=rows, model=model)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [prediction["row"] for prediction in found["predictions"]] == [0, 1]
    assert contract.prediction.name in found["predictions"][0]


@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("rain", "MODEL_NOT_FOUND the service does not serve model 'rain'; it serves delays"),
        ("delays.v2", "MODEL_NOT_FOUND the service does not serve model 'delays.v2'; it serves delays"),
        ("no such", "NOT_FOUND 'no such' cannot be a model; give a name such as flight_delay or flight_delay.v2"),
    ],
)
def test_a_model_that_is_not_served_is_named(target: str, model: str, error: str) -> None:
    done = _run("-", "--target", target, stdin="[{}]", model=model)
    assert (done.returncode, done.stderr.strip()) == (2, error)


def test_a_service_without_reflection_is_an_error_in_words() -> None:
    with reflecting(one_by_one(Described.of().reply), services=()) as target:
        done = _run("-", "--target", target, stdin="[{}]")
    assert done.returncode == 1
    assert "SERVICE_FAILED the service offers no gRPC reflection" in done.stderr


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_predictions_are_written_beside_their_rows(
    target: str, service: ScriptedService, tmp_path: Path, suffix: str
) -> None:
    output = tmp_path / "new" / f"out.{suffix}"
    done = _run(_table(tmp_path, [100.0] * 25), "--target", target, "--batch-rows", 10, "--output", output, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows"] == 25
    text = output.read_text()
    records: list[Any] = (
        list(csv.DictReader(text.splitlines())) if suffix == "csv" else [*map(json.loads, text.splitlines())]
    )
    assert [(int(r["row"]), float(r["late_probability"])) for r in records] == [(i, i / 10_000) for i in range(25)]
    assert {(r["semantic_version"], r["variant"]) for r in records} == {("1.0.0", "champion")}
    assert service.asked == 3
    assert [path.name for path in output.parent.iterdir()] == [output.name]


def test_an_output_on_a_full_disk_is_named_and_the_earlier_one_stays(target: str, tmp_path: Path) -> None:
    """A limit of file sizes stands for the disk."""
    output = tmp_path / "out.csv"
    output.write_text("earlier")
    table = _table(tmp_path, [100.0] * 200)
    done = _start(table, "--target", target, "--output", output, preexec_fn=_limit_files)
    assert done.returncode == 1, done.stderr
    assert f"STORAGE_FAILED {output} cannot be written: File too large; choose another place" in done.stderr
    assert output.read_text() == "earlier"
    assert {path.name for path in tmp_path.iterdir()} == {output.name, table.name}
    assert _run(table, "--target", target, "--output", output).returncode == 0


def _limit_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, resource.RLIM_INFINITY))


def test_all_violations_of_all_batches_are_named_by_row_of_the_file(
    target: str, service: ScriptedService, tmp_path: Path
) -> None:
    service.answer = refuse_short_flights(most=2)
    wrong = [0, 11, 12, 13, 24]
    output = tmp_path / "out.csv"
    output.write_text("earlier")
    table = _table(tmp_path, [0.5 if row in wrong else 100.0 for row in range(25)])
    done = _run(table, "--target", target, "--batch-rows", 10, "--output", output)
    assert done.returncode == 2
    assert "INVALID_REQUEST 5 values in 5 rows break the contract" in done.stderr
    assert [line.split()[1] for line in done.stderr.splitlines()[1:]] == [f"flights[{row}].distance" for row in wrong]
    assert output.read_text() == "earlier"


def test_a_bad_cell_is_named(target: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("flight_number,distance\n1,far\n")
    done = _run(path, "--target", target)
    assert done.returncode == 2
    assert "line 2, column distance: 'far' is not allowed; give a finite number" in done.stderr


def _alias(folder: Path, table: Path, kind: str) -> Path:
    """Another name of a file."""
    alias = folder / "alias.csv"
    if kind == "symlink":
        alias.symlink_to(table)
    elif kind == "hardlink":
        alias.hardlink_to(table)
    return {"same": table, "relative": folder / "deeper" / ".." / table.name}.get(kind, alias)


@pytest.mark.parametrize("kind", ["same", "relative", "symlink", "hardlink"])
@pytest.mark.parametrize("by_stdin", [False, True])
def test_the_output_cannot_be_the_file_of_the_rows(
    target: str, service: ScriptedService, tmp_path: Path, kind: str, by_stdin: bool
) -> None:
    (tmp_path / "deeper").mkdir()
    table = _table(tmp_path, [100.0] * 3)
    before = table.read_bytes()
    output = _alias(tmp_path, table, kind)
    with table.open() as stdin:
        rows = ["-", "--format", "csv"] if by_stdin else [str(table)]
        done = _start(*rows, "--target", target, "--output", output, stdin=stdin)
    assert done.returncode == 2
    assert f"INVALID_SETTING --output {output} is the file of the rows, {rows[0]}, and would replace it" in done.stderr
    assert table.read_bytes() == before
    assert service.asked == 0


def test_what_cannot_be_read_is_named_before_any_row_is_sent(
    target: str, service: ScriptedService, tmp_path: Path
) -> None:
    table = _table(tmp_path, [100.0] * 50)
    with table.open("a") as file:
        file.write("far\n2013-01-01T10:15:00Z,UA,1,EWR,IAH,819,far\n")
    done = _run(table, "--target", target, "--batch-rows", 10)
    assert done.returncode == 2
    assert "2 rows cannot be read" in done.stderr
    assert "line 52 has 1 cells" in done.stderr
    assert "line 53, column distance: 'far'" in done.stderr
    assert service.asked == 0


def test_usage_names_the_command(tmp_path: Path) -> None:
    assert "Usage: client predict [OPTIONS]" in _run("--help").stdout
    of_binary = _run("--help", variables={"PEX": str(tmp_path / "client.pex")})
    assert "Usage: client.pex predict [OPTIONS]" in of_binary.stdout
    assert "python -m" not in _run("--no-such-option").stderr


def test_answers_that_break_the_contract_are_named_by_row_of_the_file(
    target: str, service: ScriptedService, tmp_path: Path
) -> None:
    def answer(request: Any, context: Any) -> Any:
        wrong = [i for i, flight in enumerate(request.flights) if flight.distance == 7]
        if not wrong:
            return echo(request, context)
        found = bad_request(*(FieldViolation(f"flights[{i}]", "REQUIRED", f"flights[{i}] has none") for i in wrong))
        info = error_details_pb2.ErrorInfo(reason="INVALID_ANSWER", domain="athanor")
        return fail(grpc.StatusCode.INTERNAL, "wrong", info, found)(request, context)

    service.answer = answer
    table = _table(tmp_path, [7.0 if row in (3, 25) else 100.0 for row in range(30)])
    done = _run(table, "--target", target, "--batch-rows", 10, "--output", tmp_path / "out.csv")
    assert done.returncode == 1
    assert "INVALID_ANSWER the answers to 2 rows break the contract" in done.stderr
    assert [line.split()[1] for line in done.stderr.splitlines()[1:]] == ["flights[3]", "flights[25]"]
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent.csv"], "absent.csv cannot be read: No such file or directory"),
        (["."], "give --format"),
        ([".", "--format", "csv"], "cannot be read: Is a directory"),
        (["-", "--format", "xml"], "--format is 'xml'; give json, jsonl or csv"),
        (["-", "--output", "out.txt"], "--output out.txt has no known format; give a name that ends in .jsonl or .csv"),
        (["-", "--target", "nowhere"], "target 'nowhere' is not an address"),
        (["-", "--target", "h:1", "--token", _SECRET], "the token would be sent to h:1 in plain text"),
        (["-", "--ca", "absent.pem"], "TLS cannot use ca absent.pem: "),
        (["-", "--batch-rows", "0"], "batch_rows is 0; give a whole number of at least 1"),
        (["-", "--timeout-s", "0"], "timeout_s is 0.0; give a number of seconds above 0"),
    ],
)
def test_invalid_arguments_are_refused(arguments: list[str], message: str) -> None:
    done = _run(*arguments, stdin="[{}]")
    assert done.returncode == 2
    assert message in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr
    assert _SECRET not in done.stdout + done.stderr


def test_no_rows_are_refused(target: str) -> None:
    done = _run("-", "--target", target, stdin="[]")
    assert (done.returncode, done.stderr.strip()) == (2, "INVALID_REQUEST there are no rows")


def test_the_token_of_the_environment_is_sent(target: str, service: ScriptedService) -> None:
    done = _run("-", stdin="[{}]", variables={"ATHANOR_TARGET": target, "ATHANOR_TOKEN": _SECRET})
    assert done.returncode == 0, done.stderr
    assert service.metadata[0]["authorization"] == f"Bearer {_SECRET}"
    assert _SECRET not in done.stdout + done.stderr


def test_retries_are_counted(target: str, service: ScriptedService) -> None:
    service.answer = fail_times(2, fail(grpc.StatusCode.UNAVAILABLE, "starting"))
    done = _run("-", "--target", target, "--json", stdin="[{}]")
    assert json.loads(done.stdout)["retries"] == 2


def test_work_longer_than_two_seconds_shows_a_bar(target: str, service: ScriptedService, tmp_path: Path) -> None:
    def answer(request: Any, context: Any) -> Any:
        threading.Event().wait(1.5)
        return echo(request, context)

    service.answer = answer
    done = _run(_table(tmp_path, [100.0] * 6), "--target", target, "--batch-rows", 1)
    assert done.returncode == 0, done.stderr
    assert "Predict" in done.stderr
    assert "100%" in done.stderr


def test_short_work_shows_no_bar(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with _table(tmp_path, [1]).open("rb") as source, DelayedBar("Predict", source, delay_s=60) as bar:
        bar.advance("1 row")
    assert capsys.readouterr().err == ""
