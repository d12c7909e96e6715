"""The features that a model computed from rows, for gRPC and for REST."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from athanor.contract.shown import shown
from athanor.errors import InvalidRequestError
from athanor.inspection.v1 import inspection_pb2
from athanor.release.graph import FeatureArrays
from athanor.serving.answering.interface import Interface, Question
from athanor.serving.answering.prepared import Answer
from athanor.serving.formats import typed
from athanor.serving.formats.json_body import Turns
from athanor.serving.formats.raw import wire
from athanor.serving.formats.raw.wire import TooManyValuesError

_Request: Final = inspection_pb2.ComputeFeaturesRequest
# Fields that a request may give; more than one of each make no sense.
_MOST_VALUES: Final = 1_000
_ROWS_A_TURN: Final = 128


@dataclass(frozen=True)
class Inspection:
    """The features and the predictions of `n` rows.

    Attributes:
        numeric_names, categorical_names: names of the features, in the order of `features`.
        probabilities: of the positive class, shape (n,).
    """

    numeric_names: tuple[str, ...]
    categorical_names: tuple[str, ...]
    features: FeatureArrays
    probabilities: NDArray[np.float64]
    model_name: str
    semantic_version: str
    release_digest: str
    request_id: str
    variant: str


def parse(content: bytes) -> Turns[inspection_pb2.ComputeFeaturesRequest]:
    """Parses a serialised request. Raises InvalidRequestError if the bytes are malformed, or hold too much."""
    name = _Request.DESCRIPTOR.full_name
    try:
        if len(content) > wire.SMALL_BYTES:
            yield from wire.check_values(content, _Request.DESCRIPTOR, _MOST_VALUES)
        return _Request.FromString(content)
    except DecodeError as error:
        raise InvalidRequestError(f"the bytes are not a valid {name}: {error}") from None
    except TooManyValuesError:
        raise InvalidRequestError(f"the {name} has more than {_MOST_VALUES} fields; give each once") from None


def read(interface: Interface, request: inspection_pb2.ComputeFeaturesRequest, sticky_key: str = "") -> Turns[Question]:
    """The question in the Predict request within a request.

    Raises:
        ModelNotFoundError, InvalidRequestError: as `typed.read`.
    """
    question = yield from typed.read(interface, request.request, sticky_key)
    if question.semantic_version and request.semantic_version not in ("", question.semantic_version):
        both = f"{shown(request.semantic_version)} and, in the request, {shown(question.semantic_version)}"
        raise InvalidRequestError(f"the request names two semantic versions: {both}; name one")
    version = request.semantic_version or question.semantic_version
    return replace(question, semantic_version=version, with_features=True)


def inspect(interface: Interface, answer: Answer, request_id: str) -> Inspection:
    """The features behind the answer to a question `with_features`."""
    if answer.features is None:
        raise ValueError("the question did not ask for features")
    predictor = answer.variant.predictor
    return Inspection(
        numeric_names=predictor.numeric,
        categorical_names=predictor.categorical,
        features=answer.features,
        probabilities=answer.probabilities,
        model_name=interface.contract.name,
        semantic_version=answer.variant.semantic_version,
        release_digest=answer.variant.digest,
        request_id=request_id,
        variant=answer.variant.name,
    )


def to_message(inspection: Inspection) -> Turns[inspection_pb2.ComputeFeaturesResponse]:
    response = inspection_pb2.ComputeFeaturesResponse(
        numeric_names=inspection.numeric_names,
        categorical_names=inspection.categorical_names,
        model_name=inspection.model_name,
        semantic_version=inspection.semantic_version,
        release_digest=inspection.release_digest,
        request_id=inspection.request_id,
        variant=inspection.variant,
    )
    for numeric, categorical, probabilities in _parts(inspection):
        for row in zip(numeric, categorical, probabilities, strict=True):
            response.rows.add(numeric=row[0], categorical=row[1], probability=row[2])
        yield
    return response


def to_json(inspection: Inspection) -> Turns[str]:
    """As JSON, with the features of a row by name.

    A float32 becomes the float64 of the same value, so that rounding restores its bits. A missing number is null; an
    infinite one is text, as protobuf writes it, because JSON has no number for it.
    """
    names = (*inspection.numeric_names, *inspection.categorical_names)
    rows = []
    for numeric, categorical, probabilities in _parts(inspection):
        for numbers, categories, probability in zip(numeric, categorical, probabilities, strict=True):
            features = dict(zip(names, (*map(_to_number, numbers), *categories), strict=True))
            rows.append(json.dumps({"features": features, "probability": probability}, allow_nan=False))
        yield
    about = json.dumps(
        {
            "modelName": inspection.model_name,
            "semanticVersion": inspection.semantic_version,
            "releaseDigest": inspection.release_digest,
            "requestId": inspection.request_id,
            "variant": inspection.variant,
        }
    )
    return f'{{"rows": [{", ".join(rows)}], {about[1:]}'


def _parts(inspection: Inspection) -> Iterator[tuple[list[Any], list[Any], list[float]]]:
    """Numeric and categorical features and predictions, a few rows at a time."""
    features, probabilities = inspection.features, inspection.probabilities
    for first in range(0, len(probabilities), _ROWS_A_TURN):
        rows = slice(first, first + _ROWS_A_TURN)
        yield features.numeric[rows].tolist(), features.categorical[rows].tolist(), probabilities[rows].tolist()


def _to_number(value: float) -> float | str | None:
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return None if math.isnan(value) else value
