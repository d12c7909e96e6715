"""A client that is generated from the OpenAPI document calls every operation, and reads every answer."""

import json
from pathlib import Path
from typing import Any

import httpx
from google.protobuf import json_format
from integration.door_requests import inference_json
from integration.programs import run_program
from integration.service import PROJECT, Service

from delays.v1 import delays_pb2


def _call_all(service: Service, document: str, flights: list[delays_pb2.Flight], folder: Path) -> tuple[int, str]:
    """Exit status and words of the client."""
    typed: dict[str, Any] = {"flights": [json_format.MessageToDict(flight) for flight in flights]}
    tensors = json.loads(inference_json(flights))
    case = {
        "token": service.token,
        "parameters": {"model": PROJECT, "version": "1.0.0"},
        "bodies": {
            **dict.fromkeys(("predict", "features"), typed),
            **dict.fromkeys(("model_infer", "model_version_infer"), tensors),
            **{name: {} for name in ("repository_index", "repository_model_load", "repository_model_unload")},
        },
        # It takes traffic.
        "statuses": {"repository_model_unload": 409},
    }
    (folder / "openapi.json").write_text(document)
    (folder / "case.json").write_text(json.dumps(case))
    done = run_program(
        "generated",
        *("--document", folder / "openapi.json", "--case", folder / "case.json", "--folder", folder),
        *("--url", f"http://{service.http}"),
        cwd=folder,
    )
    return done.returncode, done.stdout


def test_every_operation_answers_as_the_document_says(
    service: Service, rest: httpx.Client, flights: list[delays_pb2.Flight], tmp_path: Path
) -> None:
    document = rest.get("/openapi.json").text
    operations = sum(len(item.keys() & {"get", "post"}) for item in json.loads(document)["paths"].values())
    status, output = _call_all(service, document, flights[:3], tmp_path)
    assert status == 0, output
    assert f"{operations} of {operations} operations answer as the document says" in output


def test_a_wrong_document_is_noticed(
    service: Service, rest: httpx.Client, flights: list[delays_pb2.Flight], tmp_path: Path
) -> None:
    document = rest.get("/openapi.json").text
    wrong = document.replace('"/v2/health/ready"', '"/v2/health/steady"')
    assert wrong != document
    status, output = _call_all(service, wrong, flights[:3], tmp_path)
    assert status == 1
    assert "server_ready: status 404" in output
