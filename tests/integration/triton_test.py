"""Triton's own client, unchanged, works with a service: over gRPC, and over HTTP with tensors as bytes and as JSON."""

import json
from pathlib import Path
from typing import Any, Final

import pytest
from integration.programs import run_program
from integration.service import PROJECT, Service

from projects.delays.model import MODEL

_ROWS: Final = 20
_OUTPUT: Final = MODEL.contract.prediction.name


def _ask(
    service: Service, reference: dict[str, Any], folder: Path, token: str | None = None, **changed: Any
) -> tuple[int, str]:
    """Exit status and words of the client."""
    case = {
        "model": PROJECT,
        "version": "1.0.0",
        "rows": reference["rows"][:_ROWS],
        "answers": {_OUTPUT: reference["answers"][_OUTPUT][:_ROWS]},
        **changed,
    }
    path = folder / "case.json"
    path.write_text(json.dumps(case))
    doors = ("--grpc", service.grpc, "--http", service.http)
    done = run_program("triton", *doors, "--token", token or service.token, "--case", path, cwd=folder)
    return done.returncode, done.stdout


@pytest.mark.parametrize("version", ["1.0.0", ""])
def test_it_gets_the_right_answers(service: Service, reference: dict[str, Any], tmp_path: Path, version: str) -> None:
    status, output = _ask(service, reference, tmp_path, version=version)
    assert status == 0, output
    assert f"3 doors give the {_ROWS} right answers" in output


def test_a_wrong_answer_is_told(service: Service, reference: dict[str, Any], tmp_path: Path) -> None:
    """The program that the other tests trust."""
    right = reference["answers"][_OUTPUT][:_ROWS]
    status, output = _ask(service, reference, tmp_path, answers={_OUTPUT: [*right[:-1], right[-1] + 0.001]})
    assert status == 1
    assert all(f"{door}: late_probability[{_ROWS - 1}]" in output for door in ("grpc", "http, binary", "http, JSON"))


def test_a_stranger_gets_no_answer(service: Service, reference: dict[str, Any], tmp_path: Path) -> None:
    status, output = _ask(service, reference, tmp_path, token="x" * 43)
    assert status == 1
    assert "UNAUTHENTICATED" in output
    assert "401" in output
