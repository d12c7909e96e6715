"""Every door of a service behind one function: rows in; out come an answer, or a refusal, in the same words."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
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
from prometheus_client.parser import text_string_to_metric_families

from athanor.contract.contract import Contract
from athanor.inspection.v1 import inspection_pb2
from delays.v1 import delays_pb2
from inference import open_inference_pb2
from projects.delays.model import MODEL

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
    """The doors of one service, for the bearer of one token who asks one model."""

    channel: grpc.Channel
    rest: httpx.Client
    contract: Contract = MODEL.contract

    @classmethod
    def open(cls, service: Service, contract: Contract = MODEL.contract, token: str = "") -> "Doors":
        """Args: contract: of the model, whose rows are flights too; token: by default the one of this machine."""
        options = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))
        header = ("authorization", f"Bearer {token}") if token else service.authorization
        rest = httpx.Client(
            base_url=f"http://{service.http}", timeout=_TIMEOUT_S, trust_env=False, headers=dict([header])
        )
        return cls(authorize(grpc.insecure_channel(service.grpc, options), header), rest, contract)

    @classmethod
    @contextmanager
    def opened(cls, service: Service, contract: Contract = MODEL.contract, token: str = "") -> "Iterator[Doors]":
        """The same for as long as the context lasts."""
        doors = cls.open(service, contract, token)
        try:
            yield doors
        finally:
            doors.close()

    @property
    def model(self) -> str:
        return self.contract.name

    def close(self) -> None:
        self.channel.close()
        self.rest.close()

    def typed(self, rows: Rows, **asked: Any) -> Told | Refused:
        return self._call("grpc", door_requests.typed_message(rows), read_typed, **asked)

    def inspection(self, rows: Rows, **asked: Any) -> Told | Refused:
        return self._call("inspection", door_requests.inspection_message(rows, self.model), read_inspection, **asked)

    def tensors(self, rows: Rows, **asked: Any) -> Told | Refused:
        return self._call("oip-grpc", door_requests.inference_message(rows, model=self.model), read_inference, **asked)

    def raw_tensors(self, rows: Rows, **asked: Any) -> Told | Refused:
        return self._call("oip-grpc", door_requests.raw_inference_message(rows, self.model), read_inference, **asked)

    def rest_typed(self, rows: Rows, **asked: Any) -> Told | Refused:
        return self._post("rest", door_requests.typed_json(rows).encode(), read_typed_json, **asked)

    def rest_inspection(self, rows: Rows, **asked: Any) -> Told | Refused:
        return self._post(
            "rest-inspection",
            door_requests.typed_json(rows).encode(),
            _read_inspection_json,
            **asked,
        )

    def rest_tensors(self, rows: Rows, **asked: Any) -> Told | Refused:
        return self._post("oip-rest", door_requests.inference_json(rows).encode(), _read_inference_json, **asked)

    def rest_binary_tensors(self, rows: Rows, headers: Mapping[str, str] | None = None, **asked: Any) -> Told | Refused:
        content, length = door_requests.binary_inference_json(rows)
        given = {**(headers or {}), "inference-header-content-length": str(length)}
        return self._post("oip-rest", content, _read_inference_json, headers=given, **asked)

    def _call(
        self,
        door: str,
        request: Any,
        read: Callable[[bytes], tuple[list[float], dict[str, str]]],
        timeout_s: float = _TIMEOUT_S,
        headers: Mapping[str, str] | None = None,
    ) -> Told | Refused:
        ask: Any = self.channel.unary_unary(methods_of(self.contract)[door], None, None)
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
        door: str,
        content: bytes,
        read: Callable[[httpx.Response], tuple[list[float], dict[str, str]]],
        timeout_s: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Told | Refused:
        timeout = {} if timeout_s is None else {"x-request-timeout-s": repr(timeout_s)}
        response = self.rest.post(paths_of(self.model)[door], content=content, headers={**(headers or {}), **timeout})
        if response.status_code != 200:
            return _read_rest_refusal(response)
        return Told(*read(response), response.headers)


def methods_of(contract: Contract) -> dict[str, str]:
    """The methods of gRPC that answer for a model, by door."""
    return {
        "grpc": f"/{contract.service.full_name}/Predict",
        "inspection": "/athanor.inspection.v1.InspectionService/ComputeFeatures",
        "oip-grpc": "/inference.GRPCInferenceService/ModelInfer",
    }


def paths_of(model: str) -> dict[str, str]:
    """The paths of REST that answer for a model, by door."""
    return {
        "rest": f"/v1/models/{model}:predict",
        "rest-inspection": f"/v1/models/{model}:features",
        "oip-rest": f"/v2/models/{model}/infer",
    }


def count(doors: Doors, metric: str, **labels: str) -> float:
    """The sum of a metric over its other labels."""
    families = text_string_to_metric_families(doors.rest.get("/metrics").raise_for_status().text)
    samples = (sample for family in families for sample in family.samples)
    return sum(float(s.value) for s in samples if s.name == metric and labels.items() <= s.labels.items())


METHODS: Final = methods_of(MODEL.contract)
PATHS: Final = paths_of(MODEL.name)
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
    predictions = [delays_pb2.Prediction.FromString(row.prediction) for row in response.rows]
    return [each.late_probability for each in predictions], _fields(response)


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
    return [row["prediction"]["lateProbability"] for row in told["rows"]], _json_fields(told)


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
