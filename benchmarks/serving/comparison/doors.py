"""Each door: how rows are asked there, and how probabilities are read from its answer."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
import numpy as np
from google.protobuf import json_format
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from numpy.typing import NDArray

from athanor.contract.columns import Kind
from inference import open_inference_pb2
from serving.comparison.load import Protocol
from serving.comparison.prepare import Prepared

_INFER: Final = "/inference.GRPCInferenceService/ModelInfer"
_PEERS_MODEL: Final = "pipeline"
_TIMEOUT_S: Final = 30.0
_COMPACT: Final = (",", ":")


@dataclass(frozen=True)
class Door:
    """One way to ask a server.

    Attributes:
        path: of the URL; `{model}` and `{service}` stand for the contract's.
        encode: the body that asks the first rows of what was prepared.
        decode: the probabilities in the body of an answer.
    """

    name: str
    protocol: Protocol
    path: str
    encode: Callable[[Prepared, int], bytes]
    decode: Callable[[Prepared, bytes], NDArray[np.float64]]

    def url(self, prepared: Prepared, port: int) -> str:
        contract = prepared.model.contract
        method = f"{contract.predict.containing_service.full_name}/{contract.predict.name}"
        return f"http://127.0.0.1:{port}" + self.path.format(model=contract.name, method=method)

    def frame(self, body: bytes) -> bytes:
        """The body as HTTP carries it: gRPC puts a byte for compression and four for the length before a message."""
        return b"\0" + len(body).to_bytes(4, "big") + body if self.protocol is Protocol.GRPC else body

    def ask(self, url: str, body: bytes) -> bytes:
        """The body of the answer, without its frame.

        Raises:
            grpc.RpcError, OSError: there is no answer.
            RuntimeError: it is an error.
        """
        address, _, path = url.removeprefix("http://").partition("/")
        if self.protocol is Protocol.GRPC:
            with grpc.insecure_channel(address, options=[("grpc.max_receive_message_length", -1)]) as channel:
                method: Any = channel.unary_unary(f"/{path}", None, None)
                answer: bytes = method(body, timeout=_TIMEOUT_S)
                return answer
        connection = http.client.HTTPConnection(address, timeout=_TIMEOUT_S)
        try:
            connection.request("POST", f"/{path}", body, {"content-type": "application/json"})
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        if response.status != http.HTTPStatus.OK:
            raise RuntimeError(f"{url} answers {response.status}: {content[:500].decode(errors='replace')}")
        return content


def _typed_request(prepared: Prepared, count: int) -> Message:
    contract = prepared.model.contract
    request = GetMessageClass(contract.predict.input_type)()
    getattr(request, contract.rows_field.name).extend(prepared.rows[:count])
    return request


def _encode_typed(prepared: Prepared, count: int) -> bytes:
    return _typed_request(prepared, count).SerializeToString()


def _decode_typed(prepared: Prepared, content: bytes) -> NDArray[np.float64]:
    response = GetMessageClass(prepared.model.contract.predict.output_type).FromString(content)
    return _probabilities(prepared, response)


def _probabilities(prepared: Prepared, response: Message) -> NDArray[np.float64]:
    contract = prepared.model.contract
    predictions = getattr(response, contract.predictions_field.name)
    return np.array([getattr(one, contract.prediction.name) for one in predictions])


def _encode_typed_json(prepared: Prepared, count: int) -> bytes:
    return json_format.MessageToJson(_typed_request(prepared, count), indent=None).encode()


def _decode_typed_json(prepared: Prepared, content: bytes) -> NDArray[np.float64]:
    response = json_format.Parse(content, GetMessageClass(prepared.model.contract.predict.output_type)())
    return _probabilities(prepared, response)


def _encode_columns(prepared: Prepared, count: int) -> bytes:
    """Contract columns as raw tensors, as our Open Inference door takes them: times as microseconds since 1970."""
    request = open_inference_pb2.ModelInferRequest(model_name=prepared.model.name)
    for column in prepared.model.contract.columns:
        values = prepared.columns[column.name][:count]
        if column.kind is Kind.TEXT:
            _add_raw(request, column.name, "BYTES", values)
        elif column.kind is Kind.TIMESTAMP:
            _add_raw(request, column.name, "INT64", values.astype("M8[us]").astype("<i8"))
        else:
            _add_raw(request, column.name, "FP64", values.astype("<f8"))
    return request.SerializeToString()


def _encode_features(prepared: Prepared, count: int) -> bytes:
    """Features as raw tensors, as MLServer makes a data frame of them."""
    request = open_inference_pb2.ModelInferRequest(model_name=_PEERS_MODEL)
    request.parameters["content_type"].string_param = "pd"
    for name in prepared.frame.columns:
        values = prepared.frame[name].to_numpy()[:count]
        if values.dtype == np.float32:
            _add_raw(request, name, "FP32", values)
        else:
            _add_raw(request, name, "BYTES", values)
            request.inputs[-1].parameters["content_type"].string_param = "str"
    return request.SerializeToString()


def _add_raw(request: open_inference_pb2.ModelInferRequest, name: str, datatype: str, values: NDArray[Any]) -> None:
    request.inputs.add(name=name, datatype=datatype, shape=[len(values), 1])
    if datatype == "BYTES":
        texts = [str(value).encode() for value in values]
        request.raw_input_contents.append(b"".join(len(text).to_bytes(4, "little") + text for text in texts))
    else:
        request.raw_input_contents.append(values.tobytes())


def _decode_tensor(prepared: Prepared, content: bytes) -> NDArray[np.float64]:
    response = open_inference_pb2.ModelInferResponse.FromString(content)
    output = response.outputs[0]
    raw = response.raw_output_contents
    values = np.frombuffer(raw[0], "<f8") if raw else np.array(output.contents.fp64_contents)
    return _of_late(values.reshape(output.shape))


def _of_late(values: NDArray[Any]) -> NDArray[np.float64]:
    """Of both classes, or of the positive one alone."""
    chosen = values[:, 1] if values.ndim > 1 and values.shape[1] > 1 else values.reshape(-1)
    return np.asarray(chosen, dtype=np.float64)


def _json_rows(prepared: Prepared, count: int) -> list[list[Any]]:
    """Rows of the data frame, missing numbers as null.

    Numbers have all their digits: the few that tell a float32 from all others are, read as float64, another number, and
    may lie on the other side of a tree's threshold.
    """
    return [[_to_json(value) for value in row] for row in prepared.frame.iloc[:count].itertuples(index=False)]


def _to_json(value: Any) -> Any:
    if isinstance(value, str):
        return value
    return None if np.isnan(value) else float(value)


def _encode_rows(prepared: Prepared, count: int) -> bytes:
    return json.dumps({"rows": _json_rows(prepared, count)}, separators=_COMPACT).encode()


def _encode_split(prepared: Prepared, count: int) -> bytes:
    split = {"columns": list(prepared.frame.columns), "data": _json_rows(prepared, count)}
    return json.dumps({"dataframe_split": split}, separators=_COMPACT).encode()


def _decode_list(prepared: Prepared, content: bytes) -> NDArray[np.float64]:
    return _of_late(np.array(json.loads(content)))


def _decode_mlflow(prepared: Prepared, content: bytes) -> NDArray[np.float64]:
    return _of_late(np.array(json.loads(content)["predictions"]))


TYPED_GRPC: Final = Door("typed gRPC", Protocol.GRPC, "/{method}", _encode_typed, _decode_typed)
TENSORS: Final = Door("OIP gRPC, raw tensors", Protocol.GRPC, _INFER, _encode_columns, _decode_tensor)
TYPED_REST: Final = Door(
    "typed REST", Protocol.HTTP, "/v1/models/{model}:predict", _encode_typed_json, _decode_typed_json
)
PEERS_TENSORS: Final = Door("OIP gRPC, raw tensors", Protocol.GRPC, _INFER, _encode_features, _decode_tensor)
PEERS_REST: Final = Door("REST", Protocol.HTTP, "/predict", _encode_rows, _decode_list)
MLFLOW_REST: Final = Door("REST", Protocol.HTTP, "/invocations", _encode_split, _decode_mlflow)


def write_bodies(door: Door, prepared: Prepared, counts: Sequence[int], folder: Path) -> dict[int, Path]:
    """Writes the requests for so many rows each, as h2load sends them."""
    files = {count: folder / f"{count}.body" for count in counts}
    for count, file in files.items():
        file.write_bytes(door.frame(door.encode(prepared, count)))
    return files
