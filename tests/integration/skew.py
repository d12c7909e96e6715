"""Whether a live service computes what training computed: features bit for bit, probabilities within the tolerance."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, TypeAlias

import grpc
import httpx
import numpy as np
from google.protobuf import json_format
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from numpy.typing import NDArray

from athanor.contract.contract import message_of
from athanor.contract.inputs import GraphInputs
from athanor.features.features import Model
from athanor.inspection.v1 import inspection_pb2, inspection_pb2_grpc
from athanor.release.answers import TOLERANCE
from athanor.release.files import GRAPH, Release
from athanor.release.graph import Graph
from athanor.training.evaluation.evidence import Rows

Values: TypeAlias = NDArray[Any]
MakeRequest: TypeAlias = Callable[[Sequence[Any]], Message]

# Unlike each other, so that a dependency on the number of rows computed together is seen.
ROWS_BY_GRPC: Final = 1_000
ROWS_BY_REST: Final = 703
TIMEOUT_S: Final = 60.0


@dataclass(frozen=True)
class Seen:
    """What a model was given for `n` rows by one path, and what it answered.

    Attributes:
        features: by name, in the order in which the model sees them: float32 of shape (n,), or text.
        probabilities: float64 of shape (n,).
    """

    features: Mapping[str, Values]
    probabilities: NDArray[np.float64]


def find_difference(trained: Seen, served: Seen) -> str:
    """The first difference in words, feature by feature, then in the probabilities; empty where there is none."""
    if list(trained.features) != list(served.features):
        return f"training has the features {', '.join(trained.features)}; serving {', '.join(served.features)}"
    for name, values in trained.features.items():
        if difference := _describe_first(f"feature {name}", values, served.features[name], _is_same):
            return difference
    return _describe_first("the probability", trained.probabilities, served.probabilities, _is_near)


def _describe_first(what: str, trained: Values, served: Values, agree: Callable[[Values, Values], Values]) -> str:
    if trained.shape != served.shape:
        return f"{what}: training has {len(trained)} rows, serving {len(served)}"
    (rows,) = np.nonzero(~agree(trained, served))
    if not len(rows):
        return ""
    row = rows[0]
    return f"{what} of row {row}: training has {trained[row]!r}, serving {served[row]!r}"


def _is_same(trained: Values, served: Values) -> Values:
    if trained.dtype != np.float32:
        return np.asarray(trained == served)
    return np.asarray((trained.view(np.uint32) == served.view(np.uint32)) | (np.isnan(trained) & np.isnan(served)))


def _is_near(trained: Values, served: Values) -> Values:
    return np.asarray(np.abs(trained - served) <= TOLERANCE)


def see_by_training(model: Model, rows: Rows, release: Release) -> Seen:
    """By the path of training."""
    graph = Graph(release.files[GRAPH], GraphInputs.of(model.contract.columns))
    seen = {name: rows.frame[name].to_numpy() for name in rows.frame.columns}
    return Seen(seen, graph.answer(rows.columns)[model.contract.prediction.name])


def split(rows: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for first, last in pairwise([*range(0, len(rows), size), len(rows)]):
        yield rows[first:last]


def inspect(channel: grpc.Channel, request: Message, **asked: str) -> inspection_pb2.ComputeFeaturesResponse:
    """The features and probabilities of one request, by the inspection service."""
    question = inspection_pb2.ComputeFeaturesRequest(request=request.SerializeToString(), **asked)
    return inspection_pb2_grpc.InspectionServiceStub(channel).ComputeFeatures(question, timeout=TIMEOUT_S)


def see_by_grpc(model: Model, channel: grpc.Channel, rows: Sequence[Any], make_request: MakeRequest) -> Seen:
    answers = [inspect(channel, make_request(some)) for some in split(rows, ROWS_BY_GRPC)]
    (names,) = {(*answer.numeric_names, *answer.categorical_names) for answer in answers}
    seen = [row for answer in answers for row in answer.rows]
    numeric = np.array([row.numeric for row in seen], dtype=np.float32)
    categorical = np.array([list(row.categorical) for row in seen], dtype=object)
    values = (*np.ascontiguousarray(numeric.T), *categorical.T)
    read = GetMessageClass(message_of(model.contract.predictions_field)).FromString
    probabilities = np.array([getattr(read(row.prediction), model.contract.prediction.name) for row in seen])
    return Seen(dict(zip(names, values, strict=True)), probabilities)


def see_by_rest(model: Model, rest: httpx.Client, rows: Sequence[Any], make_request: MakeRequest) -> Seen:
    seen = []
    for some in split(rows, ROWS_BY_REST):
        answer = rest.post(f"/v1/models/{model.name}:features", content=json_format.MessageToJson(make_request(some)))
        assert answer.status_code == 200, answer.text
        seen += answer.json()["rows"]
    columns: dict[str, Values] = {}
    for name in seen[0]["features"]:
        values = [row["features"][name] for row in seen]
        is_number = name in model.features.numeric
        columns[name] = np.array([np.nan if v is None else v for v in values] if is_number else values, dtype=object)
        columns[name] = columns[name].astype(np.float32) if is_number else columns[name]
    return Seen(columns, np.array([row["prediction"]["lateProbability"] for row in seen]))
