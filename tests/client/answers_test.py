"""Answers of several columns on the command line: each is a member of a record, a cell, and a column of the table."""

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.message_factory import GetMessageClass
from support.commands import environment
from support.grpc_server import serve_grpc
from support.handlers import open_handler_of
from support.questions import PRICES, QUESTIONS, SPECIES, Question

from athanor.contract.messages import to_messages
from athanor.release.store import ReleaseStore

_each_question = pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.contract.name)


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("service")
    store = ReleaseStore(folder / "store")
    cores = [question.promote(store, folder / "candidates") for question in QUESTIONS]
    with serve_grpc() as server, open_handler_of(cores, folder / "service") as opened:
        server.open(opened)
        yield f"127.0.0.1:{server.port}"


def _predict(target: str, question: Question, *flags: object) -> str:
    """What the command prints about the rows of a question, as JSON lines on its standard input."""
    rows = to_messages(question.contract.columns, question.columns, GetMessageClass(question.contract.row))
    lines = "".join(f"{json_format.MessageToJson(row, indent=None)}\n" for row in rows)
    program = [sys.executable, "-m", "athanor.cli.client.app", "predict", question.contract.name, "-"]
    done = subprocess.run(
        [*program, "--format", "jsonl", "--target", target, *map(str, flags)],
        input=lines,
        env={**environment(), "COLUMNS": "200"},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def _list_answers(question: Question) -> list[dict[str, Any]]:
    """The answers of each row by column, in the order of the contract."""
    names = [column.name for column in question.contract.answer]
    return [dict(zip(names, row, strict=True)) for row in zip(*(question.answers[n] for n in names), strict=True)]


@_each_question
def test_a_record_has_a_member_for_each_column(target: str, question: Question) -> None:
    records = json.loads(_predict(target, question, "--json"))["predictions"]
    for record, expected in zip(records, _list_answers(question), strict=True):
        assert list(record)[1 : 1 + len(expected)] == list(expected)
        assert {name: record[name] for name in expected} == {
            name: pytest.approx(value) if isinstance(value, float) else value for name, value in expected.items()
        }


def test_a_csv_file_has_a_cell_for_each_column(target: str, tmp_path: Path) -> None:
    output = tmp_path / "predictions.csv"
    _predict(target, SPECIES, "--output", output)
    rows = list(csv.DictReader(output.read_text().splitlines()))
    for row, expected in zip(rows, _list_answers(SPECIES), strict=True):
        assert row["predicted_species"] == expected["predicted_species"]
        assert float(row["gentoo_probability"]) == pytest.approx(expected["gentoo_probability"])
        assert row["may_be_gentoo"] == ("true" if expected["may_be_gentoo"] else "false")


def test_people_get_a_table_of_all_columns(target: str) -> None:
    said = _predict(target, PRICES)
    assert all(word in said for word in ("expected_price", "lower", "upper", "12000", "10800", "13200"))
