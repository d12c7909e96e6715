"""Every door of a service behind one function: rows in; out come an answer, or a refusal, in the same words."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import grpc
import httpx
import numpy as np
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from integration import door_requests
from integration.credentials import authorize
from integration.door_requests import Rows
from integration.service import Service

from athanor.inspection.v1 import inspection_pb2
from delays.v1 import delays_pb2
from inference import open_inference_pb2

_TIMEOUT_S: Final = 60.0
# `flights[3].distance`, and what the Open Inference Protocol calls the same: `inputs.distance[3]`.
_BY_ROW: Final = re.compile(r"flights\[(\d+)\]\.(\w+)")
_BY_COLUMN: Final = re.compile(r"inputs\.(\w+)\[(\d+)\]")


@dataclass(frozen=True)
class Told:
    """An answer.

    Attributes:
        fields: what it says of itself in its body: model, version, digest, variant, request_id.
        headers: what its headers, or its trailing metadata, say; names in lower case.
    """

    probabilities: list[float]
    fields: Mapping[str, str]
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Refused:
    """A refusal.

    Attributes:
        status: name of gRPC's code, or HTTP's status.
        violations: row, column and rule of each that names a value; row -1 and the field where it names none.
    """

    status: str
    detail: str
    violations: tuple[tuple[int, str, str], ...]
    headers: Mapping[str, str]


Door: TypeAlias = Callable[..., Told | Refused]
"""Called with rows; by name: `timeout_s`, and `headers`, which are metadata of gRPC as well."""


@dataclass(frozen=True)
class Doors:
    """The doors of one service, for one who is let in."""

    channel: grpc.Channel
    rest: httpx.Client

    @classmethod
    def open(cls, service: Service) -> "Doors":
        options = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))
        rest = httpx.Client(
            base_url=f"http://{service.http}",
            timeout=_TIMEOUT_S,
            trust_env=False,
            headers=dict([service.authorization]),
        )
        return cls(authorize(grpc.insecure_channel(service.grpc, options), service.authorization), rest)

    def close(self) -> None:
        self.channel.close()
        self.rest.close()

    def typed(self, rows: Rows, **asked: Any) -> Told | Refused:
        return self._call(METHODS["grpc"], door_requests.typed_message(rows), read_typed, **asked)

    def inspection(self, rows: Rows, **asked: Any) -> Told | Refused:
        return self._call(METHODS["inspection"], door_requests.inspection_message(rows), read_inspection, **asked)

    def tensors(self, rows: Rows, **asked: Any) -> Told | Refused:
        return self._call(METHODS["oip-grpc"], door_requests.inference_message(rows), read_inference, **asked)

    def raw_tensors(self, rows: Rows, **asked: Any) -> Told | Refused:
        return self._call(METHODS["oip-grpc"], door_requests.raw_inference_message(rows), read_inference, **asked)

    def rest_typed(self, rows: Rows, **asked: Any) -> Told | Refused:
        return self._post(PATHS["rest"], door_requests.typed_json(rows).encode(), read_typed_json, **asked)

    def rest_inspection(self, rows: Rows, **asked: Any) -> Told | Refused:
        return self._post(
            PATHS["rest-inspection"], door_requests.typed_json(rows).encode(), _read_inspection_json, **asked
        )

    def rest_tensors(self, rows: Rows, **asked: Any) -> Told | Refused:
        return self._post(PATHS["oip-rest"], door_requests.inference_json(rows).encode(), _read_inference_json, **asked)

    def rest_binary_tensors(self, rows: Rows, headers: Mapping[str, str] | None = None, **asked: Any) -> Told | Refused:
        content, length = door_requests.binary_inference_json(rows)
        given = {**(headers or {}), "inference-header-content-length": str(length)}
        return self._post(PATHS["oip-rest"], content, _read_inference_json, headers=given, **asked)

    def _call(
        self,
        method: str,
        request: Any,
        read: Callable[[bytes], tuple[list[float], dict[str, str]]],
        timeout_s: float = _TIMEOUT_S,
        headers: Mapping[str, str] | None = None,
    ) -> Told | Refused:
        ask: Any = self.channel.unary_unary(method, None, None)
        try:
            answer, call = ask.with_call(
                request.SerializeToString(), timeout=timeout_s, metadata=tuple((headers or {}).items())
            )
        except grpc.RpcError as error:
            return _read_grpc_refusal(error)
        probabilities, fields = read(answer)
        return Told(probabilities, fields, dict(call.trailing_metadata()))

    def _post(
        self,
        path: str,
        content: bytes,
        read: Callable[[httpx.Response], tuple[list[float], dict[str, str]]],
        timeout_s: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Told | Refused:
        timeout = {} if timeout_s is None else {"x-request-timeout-s": repr(timeout_s)}
        response = self.rest.post(path, content=content, headers={**(headers or {}), **timeout})
        if response.status_code != 200:
            return _read_rest_refusal(response)
        return Told(*read(response), response.headers)


METHODS: Final = {
    "grpc": "/delays.v1.DelaysService/Predict",
    "inspection": "/athanor.inspection.v1.InspectionService/ComputeFeatures",
    "oip-grpc": "/inference.GRPCInferenceService/ModelInfer",
}
PATHS: Final = {
    "rest": "/v1/models/delays:predict",
    "rest-inspection": "/v1/models/delays:features",
    "oip-rest": "/v2/models/delays/infer",
}
FOUR_DOORS: Final[Mapping[str, Door]] = {
    "grpc": Doors.typed,
    "oip-grpc": Doors.tensors,
    "oip-grpc raw": Doors.raw_tensors,
    "rest": Doors.rest_typed,
    "oip-rest": Doors.rest_tensors,
    "oip-rest binary": Doors.rest_binary_tensors,
}
"""The doors that predict. Each is called with `Doors` first."""
ALL_DOORS: Final[Mapping[str, Door]] = {
    **FOUR_DOORS,
    "inspection": Doors.inspection,
    "rest inspection": Doors.rest_inspection,
}


def read_typed(answer: bytes) -> tuple[list[float], dict[str, str]]:
    response = delays_pb2.PredictResponse.FromString(answer)
    return [each.late_probability for each in response.predictions], _fields(response)


def read_inspection(answer: bytes) -> tuple[list[float], dict[str, str]]:
    response = inspection_pb2.ComputeFeaturesResponse.FromString(answer)
    return [row.probability for row in response.rows], _fields(response)


def _fields(response: Any) -> dict[str, str]:
    return {
        "model": response.model_name,
        "version": response.semantic_version,
        "digest": response.release_digest,
        "variant": response.variant,
        "request_id": response.request_id,
    }


def read_inference(answer: bytes) -> tuple[list[float], dict[str, str]]:
    response = open_inference_pb2.ModelInferResponse.FromString(answer)
    (output,) = response.outputs
    if response.raw_output_contents:
        probabilities = np.frombuffer(response.raw_output_contents[0], "<f8").tolist()
    else:
        probabilities = list(output.contents.fp64_contents)
    assert (output.datatype, list(output.shape)) == ("FP64", [len(probabilities)])
    told = {name: value.string_param for name, value in response.parameters.items()}
    return probabilities, _inference_fields(response.model_name, response.model_version, response.id, told)


def _inference_fields(model: str, version: str, id_: str, told: Mapping[str, str]) -> dict[str, str]:
    assert id_ == told["request_id"]
    return {
        "model": model,
        "version": version,
        "digest": told["release_digest"],
        "variant": told["variant"],
        "request_id": told["request_id"],
    }


def read_typed_json(response: httpx.Response) -> tuple[list[float], dict[str, str]]:
    told = response.json()
    return [each["lateProbability"] for each in told["predictions"]], _json_fields(told)


def _read_inspection_json(response: httpx.Response) -> tuple[list[float], dict[str, str]]:
    told = response.json()
    return [row["probability"] for row in told["rows"]], _json_fields(told)


def _json_fields(told: Mapping[str, Any]) -> dict[str, str]:
    return {
        "model": told["modelName"],
        "version": told["semanticVersion"],
        "digest": told["releaseDigest"],
        "variant": told["variant"],
        "request_id": told["requestId"],
    }


def _read_inference_json(response: httpx.Response) -> tuple[list[float], dict[str, str]]:
    length = int(response.headers.get("inference-header-content-length", len(response.content)))
    told = json.loads(response.content[:length])
    (output,) = told["outputs"]
    binary = response.content[length:]
    probabilities = np.frombuffer(binary, "<f8").tolist() if binary else output["data"]
    assert (output["datatype"], output["shape"]) == ("FP64", [len(probabilities)])
    return probabilities, _inference_fields(told["model_name"], told["model_version"], told["id"], told["parameters"])


def _read_grpc_refusal(error: Any) -> Refused:
    violations = []
    # None where gRPC itself refused: it has no details.
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        bad_request: Any = error_details_pb2.BadRequest()  # the stubs do not know `reason` yet
        if detail.Unpack(bad_request):
            violations += [(each.field, each.reason) for each in bad_request.field_violations]
    return Refused(error.code().name, error.details(), _read(violations), dict(error.trailing_metadata() or ()))


def _read_rest_refusal(response: httpx.Response) -> Refused:
    problem = response.json()
    assert problem["status"] == response.status_code
    violations = [(each["field"], each["rule"]) for each in problem.get("violations", ())]
    return Refused(str(response.status_code), problem["detail"], _read(violations), response.headers)


def _read(violations: Sequence[tuple[str, str]]) -> tuple[tuple[int, str, str], ...]:
    return tuple((*_read_field(field), rule) for field, rule in violations)


def _read_field(field: str) -> tuple[int, str]:
    if found := _BY_ROW.fullmatch(field):
        return int(found[1]), found[2]
    if found := _BY_COLUMN.fullmatch(field):
        return int(found[2]), found[1]
    return -1, field
