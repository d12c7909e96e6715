"""Calls a service with Triton's own client, over gRPC and HTTP, and reports each wrong answer.

Exit status 0 when every answer is right, 1 when one is not: each difference is a line on standard output.

The case is a JSON file: `model`, `version` (semantic, or empty for whichever serves traffic), `rows` (objects of values
by column name, instants in RFC 3339, nothing where a value is missing) and `answers` (one value for each row, by column
of the answer).
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import tritonclient.grpc  # type: ignore[import-untyped]
import tritonclient.http  # type: ignore[import-untyped]
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException, triton_to_np_dtype  # type: ignore[import-untyped]

_TOLERANCE: Final = 1e-6
_REQUEST_ID: Final = "triton-client"
_UNKNOWN: Final = "no_such_model"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

Tensors: TypeAlias = dict[str, tuple[str, NDArray[Any]]]
"""Datatype and values of each input by its name."""
_Refusals: TypeAlias = dict[str, tuple[Callable[[], Any], tuple[str, ...], str]]
"""What must be refused: a call, statuses of which the client shows one, and words of the message."""


@dataclass(frozen=True)
class Case:
    """A request, and its right answer."""

    model: str
    version: str
    rows: Sequence[dict[str, Any]]
    answers: Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class Door:
    """One way to call the service.

    Attributes:
        module: `tritonclient.grpc` or `tritonclient.http`.
        is_binary: whether tensors are bytes; None where the client leaves no choice.
    """

    name: str
    module: Any
    client: Any
    headers: dict[str, str]
    is_binary: bool | None = None

    def infer(self, case: Case, tensors: Tensors, version: str, headers: dict[str, str]) -> Any:
        how = {} if self.is_binary is None else {"binary_data": self.is_binary}
        inputs = []
        for name, (datatype, values) in tensors.items():
            tensor = self.module.InferInput(name, list(values.shape), datatype)
            tensor.set_data_from_numpy(values, **how)
            inputs.append(tensor)
        return self.client.infer(
            case.model,
            inputs,
            model_version=version,
            # Without outputs, HTTP asks for all of them as bytes.
            outputs=[self.module.InferRequestedOutput(name, **how) for name in case.answers]
            if self.is_binary is not True
            else None,
            request_id=_REQUEST_ID,
            # The client writes into it what belongs to this request alone.
            headers=dict(headers),
        )

    def read_metadata(self, case: Case, version: str) -> dict[str, Any]:
        read = partial(self.client.get_model_metadata, case.model, version, headers=self.headers)
        metadata: dict[str, Any] = read(as_json=True) if self.module is tritonclient.grpc else read()
        return metadata

    def read_index(self) -> list[dict[str, str]]:
        """The entries of the model repository. A member that is empty may be absent."""
        read = partial(self.client.get_model_repository_index, headers=dict(self.headers))
        index: Any = read(as_json=True)["models"] if self.module is tritonclient.grpc else read()
        return list(index)

    def load(self, model: str, **given: Any) -> None:
        self.client.load_model(model, headers=dict(self.headers), **given)

    def unload(self, model: str) -> None:
        self.client.unload_model(model, headers=dict(self.headers))


def to_tensors(metadata: dict[str, Any], rows: Sequence[dict[str, Any]], is_text_time: bool) -> Tensors:
    """Rows as the metadata wants them.

    Args:
        is_text_time: instants are sent as text, not as microseconds since 1970.
    """
    return {
        tensor["name"]: _to_tensor(tensor["datatype"], [row.get(tensor["name"]) for row in rows], is_text_time)
        for tensor in metadata["inputs"]
    }


def _to_tensor(datatype: str, values: Sequence[Any], is_text_time: bool) -> tuple[str, NDArray[Any]]:
    is_time = datatype == "INT64" and any(isinstance(value, str) for value in values)
    if datatype == "BYTES" or (is_time and is_text_time):
        return "BYTES", np.array([("" if value is None else value).encode() for value in values], dtype=np.object_)
    if is_time:
        return "INT64", np.array([(datetime.fromisoformat(value) - _EPOCH) // _MICROSECOND for value in values])
    if None in values:
        return "FP64", np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    return datatype, np.array(values, dtype=triton_to_np_dtype(datatype))


def check_door(door: Door, case: Case) -> Iterator[str]:
    """Wrong answers of one door."""
    for name, is_so in _ask_health(door, case):
        if not is_so:
            yield f"{name} is false"
    for version in {"", case.version}:
        metadata = door.read_metadata(case, version)
        yield from _check_metadata(case, metadata)
        for is_text_time in (False, True):
            tensors = to_tensors(metadata, case.rows, is_text_time)
            columns = {name: (datatype, values[:, np.newaxis]) for name, (datatype, values) in tensors.items()}
            for shaped in (tensors, columns):
                yield from _check_answer(case, door.infer(case, shaped, version, door.headers))
    yield from _check_refusals(door, case, to_tensors(door.read_metadata(case, ""), case.rows, is_text_time=False))
    yield from _check_repository(door, case)


def _check_metadata(case: Case, metadata: dict[str, Any]) -> Iterator[str]:
    if metadata["name"] != case.model or (case.version and case.version not in metadata["versions"]):
        yield f"metadata is of {metadata['name']} {metadata['versions']}"
    if (outputs := [output["name"] for output in metadata["outputs"]]) != list(case.answers):
        yield f"metadata has the outputs {', '.join(outputs)}, not {', '.join(case.answers)}"
    if unknown := {name for row in case.rows for name in row} - {tensor["name"] for tensor in metadata["inputs"]}:
        yield f"metadata has no inputs {', '.join(sorted(unknown))}"


def _ask_health(door: Door, case: Case) -> Iterator[tuple[str, bool]]:
    yield "is_server_live", door.client.is_server_live()
    yield "is_server_ready", door.client.is_server_ready()
    for version in {"", case.version}:
        yield f"is_model_ready {version!r}", door.client.is_model_ready(case.model, version, headers=door.headers)


def _check_answer(case: Case, result: Any) -> Iterator[str]:
    response = result.get_response()
    if not isinstance(response, dict):
        response = {name: getattr(response, name) for name in ("model_name", "model_version", "id")}
    wanted = {"model_name": case.model, "id": _REQUEST_ID}
    if case.version:
        wanted["model_version"] = case.version
    for name, value in wanted.items():
        if response.get(name) != value:
            yield f"{name} is {response.get(name)!r}, not {value!r}"
    for name, expected in case.answers.items():
        yield from _check_output(name, result.as_numpy(name), expected)


def _check_output(name: str, found: NDArray[Any] | None, expected: Sequence[Any]) -> Iterator[str]:
    if found is None or found.size != len(expected):
        yield f"{name} is {found}, for {len(expected)} rows"
        return
    values = [each.decode() if isinstance(each, bytes) else each for each in found.reshape(-1).tolist()]
    for row, (value, right) in enumerate(zip(values, expected, strict=True)):
        if not (_is_near(value, right) if isinstance(right, float) else value == right):
            yield f"{name}[{row}] is {value}, not {right}"


def _is_near(value: Any, right: float) -> bool:
    """A value that is no number is not near."""
    return isinstance(value, float) and abs(value - right) <= _TOLERANCE * max(1, abs(right))


def _check_refusals(door: Door, case: Case, tensors: Tensors) -> Iterator[str]:
    """A stranger, an unknown version and an unknown column must be refused, with a message that the client shows."""
    unknown = {**tensors, "no_such_column": ("FP64", np.zeros(len(case.rows)))}
    # With the words that the message needs: the client shows nothing else.
    refusals: _Refusals = {
        "an unknown version": (
            lambda: door.infer(case, tensors, "999.0.0", door.headers),
            ("404", "NOT_FOUND"),
            "999.0.0",
        ),
        "an unknown column": (
            lambda: door.infer(case, unknown, "", door.headers),
            ("400", "INVALID_ARGUMENT"),
            "inputs.'no_such_column' is not a column",
        ),
    }
    if door.headers:
        refusals["no token"] = (lambda: door.infer(case, tensors, "", {}), ("401", "UNAUTHENTICATED"), "token")
    yield from _find_unrefused(refusals)


def _check_repository(door: Door, case: Case) -> Iterator[str]:
    """The model must be listed, and load; it must not be unloaded, or replaced by another, by a caller."""
    index = door.read_index()
    found = [entry.get("version", "") for entry in index if (entry["name"], entry["state"]) == (case.model, "READY")]
    if not found or (case.version and case.version not in found):
        yield f"the index is {index}"
    door.load(case.model)
    door.unload(_UNKNOWN)
    yield from _find_unrefused(
        {
            "a configuration": (
                lambda: door.load(case.model, config="{}"),
                ("400", "INVALID_ARGUMENT"),
                "parameters.'config' is not supported",
            ),
            "a load of an unknown model": (lambda: door.load(_UNKNOWN), ("404", "NOT_FOUND"), _UNKNOWN),
            "an unload": (
                lambda: door.unload(case.model),
                ("409", "FAILED_PRECONDITION"),
                f"athanor registry withdraw {case.model} champion",
            ),
        }
    )


def _find_unrefused(refusals: _Refusals) -> Iterator[str]:
    for what, (ask, statuses, words) in refusals.items():
        try:
            ask()
            yield f"{what} is not refused"
        except InferenceServerException as error:
            if not any(status in str(error.status()) for status in statuses) or words not in str(error):
                yield f"{what} is refused as {error}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--grpc", required=True, metavar="HOST:PORT")
    parser.add_argument("--http", required=True, metavar="HOST:PORT")
    parser.add_argument("--token", default="")
    parser.add_argument("--case", required=True, type=Path)
    options = parser.parse_args()

    case = Case(**json.loads(options.case.read_text()))
    headers = {"authorization": f"Bearer {options.token}"} if options.token else {}
    by_grpc = tritonclient.grpc.InferenceServerClient(options.grpc)
    by_http = tritonclient.http.InferenceServerClient(options.http)
    doors = (
        Door("grpc", tritonclient.grpc, by_grpc, headers),
        Door("http, binary", tritonclient.http, by_http, headers, is_binary=True),
        Door("http, JSON", tritonclient.http, by_http, headers, is_binary=False),
    )
    problems = [f"{door.name}: {problem}" for door in doors for problem in _collect(door, case)]
    said = problems or [f"{len(doors)} doors give the {len(case.rows)} right answers"]
    sys.stdout.write("\n".join([*said, ""]))
    return 1 if problems else 0


def _collect(door: Door, case: Case) -> list[str]:
    try:
        return list(check_door(door, case))
    except InferenceServerException as error:
        return [f"refused: {error.status()}: {error.message()}"]


if __name__ == "__main__":
    sys.exit(main())
