"""What the OpenAPI document says, the service does: requests made from it, right ones and wrong ones, by a program."""

from pathlib import Path
from typing import Final

import httpx
from integration.programs import run_program
from integration.service import Service

_SETTINGS: Final = """
seed = 1
continue-on-failure = true
suppress-health-check = ["all"]

[auth.openapi.bearer]
bearer = "{token}"

[generation]
deterministic = true
max-examples = {examples}
# All of HTTP lets a request have headers that a server does not know.
allow-extra-parameters = false

# A deadline that has passed is told by 504, and a request may ask for one.
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", 504]

# A parameter that is empty makes another path of it, and that may know no such method.
[phases.stateful.checks.status_code_conformance]
enabled = false

# The document cannot say which columns must be among the inputs: a violation does.
[[operations]]
include-path-regex = "/infer$"
checks.positive_data_acceptance.enabled = false
"""
_EXAMPLES: Final = 150
_FEW_EXAMPLES: Final = 3


def test_the_service_is_as_its_openapi_document_says(service: Service, rest: httpx.Client, tmp_path: Path) -> None:
    # In a file: an argument could be seen by others on this machine.
    (tmp_path / "schemathesis.toml").write_text(_SETTINGS.format(token=service.token, examples=_EXAMPLES))
    document = tmp_path / "openapi.json"
    document.write_bytes(rest.get("/openapi.json").content)
    done = run_program("schemathesis", "run", document, "--url", f"http://{service.http}", "--no-color", cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-20_000:]
    assert service.token not in done.stdout


def test_a_document_that_does_not_tell_the_truth_is_found_out(
    service: Service, rest: httpx.Client, tmp_path: Path
) -> None:
    """The program that the other test trusts."""
    (tmp_path / "schemathesis.toml").write_text(_SETTINGS.format(token=service.token, examples=_FEW_EXAMPLES))
    document = tmp_path / "openapi.json"
    told = rest.get("/openapi.json").text
    document.write_text(told.replace('"lateProbability"', '"earlyProbability"'))
    assert document.read_text() != told
    done = run_program("schemathesis", "run", document, "--url", f"http://{service.http}", "--no-color", cwd=tmp_path)
    assert done.returncode == 1
    assert "Response violates schema" in done.stdout
