"""The features that a model computed from rows, for gRPC and for REST."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from athanor.contract.contract import Contract, message_of
from athanor.contract.shown import shown
from athanor.contract.wire import default_json_name
from athanor.errors import InvalidRequestError
from athanor.inspection.v1 import inspection_pb2
from athanor.release.graph import FeatureArrays
from athanor.serving.answering.interface import Interface, Question
from athanor.serving.answering.prepared import Answer
from athanor.serving.formats import typed, typed_json
from athanor.serving.formats.answers import split
from athanor.serving.formats.json_body import Turns
from athanor.serving.formats.raw import wire
from athanor.serving.formats.raw.wire import TooManyValuesError

_Request: Final = inspection_pb2.ComputeFeaturesRequest
# Fields that a request may give; more than one of each make no sense.
_MOST_VALUES: Final = 1_000


@dataclass(frozen=True)
class Inspection:
    """The features and the predictions of rows.

    Attributes:
        contract: that callers see.
        features: of the answer.
    """

    contract: Contract
    answer: Answer
    features: FeatureArrays
    request_id: str

    def describe(self) -> dict[str, Any]:
        """What answered, by the names of the response's fields."""
        variant = self.answer.variant
        return {
            "model_name": self.contract.name,
            "semantic_version": variant.semantic_version,
            "release_digest": variant.digest,
            "request_id": self.request_id,
            "variant": variant.name,
        }


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
    return Inspection(interface.contract, answer, answer.features, request_id)


def to_message(inspection: Inspection) -> Turns[inspection_pb2.ComputeFeaturesResponse]:
    predictor, contract = inspection.answer.variant.predictor, inspection.contract
    response = inspection_pb2.ComputeFeaturesResponse(
        numeric_names=predictor.numeric, categorical_names=predictor.categorical, **inspection.describe()
    )
    prediction_class = GetMessageClass(message_of(contract.predictions_field))
    for numeric, categorical, part in _parts(inspection):
        predictions = typed.to_predictions(contract, part)
        for numbers, texts, prediction in zip(numeric, categorical, predictions, strict=True):
            content = prediction_class(**prediction).SerializeToString()
            response.rows.add(numeric=numbers, categorical=texts, prediction=content)
        yield
    return response


def to_json(inspection: Inspection) -> Turns[str]:
    """As JSON, with the features of a row by name.

    A float32 becomes the float64 of the same value, so that rounding restores its bits. A missing number is null; an
    infinite one is text, as protobuf writes it, because JSON has no number for it.
    """
    predictor, contract = inspection.answer.variant.predictor, inspection.contract
    names = (*predictor.numeric, *predictor.categorical)
    rows = []
    for numeric, categorical, part in _parts(inspection):
        predictions = typed_json.to_predictions(contract, part)
        for numbers, texts, prediction in zip(numeric, categorical, predictions, strict=True):
            features = dict(zip(names, (*map(_to_number, numbers), *texts), strict=True))
            rows.append(json.dumps({"features": features, "prediction": prediction}, allow_nan=False))
        yield
    about = json.dumps({default_json_name(name): text for name, text in inspection.describe().items()})
    return f'{{"rows": [{", ".join(rows)}], {about[1:]}'


def _parts(inspection: Inspection) -> Iterator[tuple[list[Any], list[Any], Answer]]:
    """Numeric and categorical features and answers, a few rows at a time."""
    first = 0
    for part in split(inspection.answer):
        features = inspection.features.take(slice(first, first + part.count))
        first += part.count
        yield features.numeric.tolist(), features.categorical.tolist(), part


def _to_number(value: float) -> float | str | None:
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return None if math.isnan(value) else value
