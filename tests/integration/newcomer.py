"""Strangers who wait for a model: they have its name, an address, a token, grpcio's reflection and Python's HTTP."""

import http.client
import json
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import grpc
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from integration.credentials import authorize
from integration.doors import read_inference
from integration.service import Service

from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from inference import open_inference_pb2

_PATIENCE_S: Final = 120.0
_TIMEOUT_S: Final = 30.0
_POLL_S: Final = 0.02
# What a door says about a model that is not there yet.
_ABSENT: Final = grpc.StatusCode.NOT_FOUND


@dataclass(frozen=True)
class Seen:
    """The first answer of a door.

    Attributes:
        at: when it came, by `time.time`.
        probability: None from a page.
    """

    at: float
    version: str
    probability: float | None


Ask: TypeAlias = Callable[[], tuple[str, float | None] | None]
"""Version and probability; None while the door does not know the model. Raises what else goes wrong."""


class Stranger:
    """Asks about one row of a model, in the words of protobuf JSON."""

    def __init__(self, service: Service, model: str, row: Mapping[str, Any]) -> None:
        self._service = service
        self._model = model
        self._row = row

    @property
    def doors(self) -> dict[str, Ask]:
        return {
            "grpc": self._by_grpc(self._ask_typed),
            "oip-grpc": self._by_grpc(self._ask_tensors),
            "rest": self._ask_rest,
            "oip-rest": self._ask_rest_tensors,
            "page": self._ask_page,
        }

    def _by_grpc(self, ask: Callable[[grpc.Channel], tuple[str, float] | None]) -> Ask:
        def ask_once() -> tuple[str, float] | None:
            with grpc.insecure_channel(self._service.grpc) as channel:
                try:
                    return ask(authorize(channel, self._service.authorization))
                except grpc.RpcError as error:
                    failed: Any = error
                    if failed.code() is _ABSENT:
                        return None
                    raise

        return ask_once

    def _ask_typed(self, channel: grpc.Channel) -> tuple[str, float] | None:
        """By the method that reflection describes; nothing else is known of the contract."""
        described = ProtoReflectionDescriptorDatabase(channel)
        own = [name for name in described.get_services() if name.startswith(f"{self._model}.v1.")]
        if not own:
            return None
        method = DescriptorPool(described).FindServiceByName(own[0]).FindMethodByName("Predict")
        request = json_format.ParseDict({"flights": [self._row]}, GetMessageClass(method.input_type)())
        answer_class = GetMessageClass(method.output_type)
        ask: Any = channel.unary_unary(f"/{own[0]}/Predict", None, answer_class.FromString)
        answer = ask(request.SerializeToString(), timeout=_TIMEOUT_S)
        return answer.semantic_version, answer.predictions[0].late_probability

    def _ask_tensors(self, channel: grpc.Channel) -> tuple[str, float]:
        request = open_inference_pb2.ModelInferRequest(model_name=self._model)
        for name, value in self._row.items():
            tensor = request.inputs.add(name=name, datatype="FP64" if _is_number(value) else "BYTES", shape=[1])
            if _is_number(value):
                tensor.contents.fp64_contents.append(value)
            else:
                tensor.contents.bytes_contents.append(value.encode())
        ask: Any = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer", None, None)
        probabilities, said = read_inference(ask(request.SerializeToString(), timeout=_TIMEOUT_S))
        return said["version"], probabilities[0]

    def _ask_rest(self) -> tuple[str, float] | None:
        content = self._http("POST", f"/v1/models/{self._model}:predict", {"flights": [self._row]})
        answer = json.loads(content) if content else None
        return (answer["semanticVersion"], answer["predictions"][0]["lateProbability"]) if answer else None

    def _ask_rest_tensors(self) -> tuple[str, float] | None:
        inputs = [
            {"name": name, "datatype": "FP64" if _is_number(value) else "BYTES", "shape": [1], "data": [value]}
            for name, value in self._row.items()
        ]
        content = self._http("POST", f"/v2/models/{self._model}/infer", {"inputs": inputs})
        answer = json.loads(content) if content else None
        return (answer["model_version"], answer["outputs"][0]["data"][0]) if answer else None

    def _ask_page(self) -> tuple[str, None] | None:
        """The page of a model names each version that answers."""
        page = self._http("GET", f"/docs/{self._model}")
        return ("1.0.0", None) if page and "1.0.0" in page and "scheduled_departure" in page else None

    def _http(self, verb: str, path: str, body: Any = None) -> str | None:
        connection = http.client.HTTPConnection(self._service.http, timeout=_TIMEOUT_S)
        try:
            connection.request(verb, path, body and json.dumps(body), dict([self._service.authorization]))
            response = connection.getresponse()
            content = response.read().decode()
        finally:
            connection.close()
        assert response.status in {200, 404}, (response.status, content)
        return content if response.status == 200 else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


@contextmanager
def waiting(doors: Mapping[str, Ask]) -> Iterator[dict[str, "Future[Seen]"]]:
    """Asks every door from now on, each in a thread of its own, until it answers."""
    with ThreadPoolExecutor(len(doors)) as pool:
        yield {door: pool.submit(_ask_until_answered, door, ask) for door, ask in doors.items()}


def _ask_until_answered(door: str, ask: Ask) -> Seen:
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        if answer := ask():
            return Seen(time.time(), *answer)
        time.sleep(_POLL_S)
    raise AssertionError(f"{door} did not answer within {_PATIENCE_S:g} s")
