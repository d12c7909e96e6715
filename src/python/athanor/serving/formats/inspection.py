"""The features that a model computed from rows, for gRPC and for REST."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from athanor.errors import InvalidRequestError
from athanor.features.features import FeatureArrays
from athanor.inspection.v1 import inspection_pb2
from athanor.serving.answering.core import Answer, Core, Question
from athanor.serving.formats import typed


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


def to_question(core: Core, request: inspection_pb2.ComputeFeaturesRequest, sticky_key: str = "") -> Question:
    """The question in the Predict request within.

    Raises:
        ModelNotFoundError, InvalidRequestError: as `typed.parse` and `typed.to_question`.
    """
    core.check_model(request.model_name)
    question = typed.to_question(core, typed.parse(core, request.request), sticky_key)
    if question.semantic_version and request.semantic_version not in ("", question.semantic_version):
        both = f"{request.semantic_version!r} and, in the request, {question.semantic_version!r}"
        raise InvalidRequestError(f"the request names two semantic versions: {both}; name one")
    return replace(question, semantic_version=request.semantic_version or question.semantic_version)


def inspect(core: Core, answer: Answer, request_id: str) -> Inspection:
    """The features behind an answer."""
    features = core.model.features
    return Inspection(
        numeric_names=features.numeric,
        categorical_names=features.categorical,
        features=answer.features,
        probabilities=answer.probabilities,
        model_name=core.contract.name,
        semantic_version=answer.variant.semantic_version,
        release_digest=answer.variant.digest,
        request_id=request_id,
        variant=answer.variant.name,
    )


def to_message(inspection: Inspection) -> inspection_pb2.ComputeFeaturesResponse:
    features = inspection.features
    rows = zip(features.numeric.tolist(), features.categorical.tolist(), inspection.probabilities.tolist(), strict=True)
    return inspection_pb2.ComputeFeaturesResponse(
        numeric_names=inspection.numeric_names,
        categorical_names=inspection.categorical_names,
        rows=[
            inspection_pb2.SeenRow(numeric=numeric, categorical=categorical, probability=probability)
            for numeric, categorical, probability in rows
        ],
        model_name=inspection.model_name,
        semantic_version=inspection.semantic_version,
        release_digest=inspection.release_digest,
        request_id=inspection.request_id,
        variant=inspection.variant,
    )


def to_json(inspection: Inspection) -> dict[str, Any]:
    """As JSON values, with the features of a row by name.

    A float32 becomes the float64 of the same value, so that rounding restores its bits. A missing number is null; an
    infinite one is text, as protobuf writes it, because JSON has no number for it.
    """
    features = inspection.features
    numbers = ([_to_number(value) for value in row] for row in features.numeric.tolist())
    rows = zip(numbers, features.categorical.tolist(), inspection.probabilities.tolist(), strict=True)
    names = (*inspection.numeric_names, *inspection.categorical_names)
    return {
        "rows": [
            {"features": dict(zip(names, (*numeric, *categorical), strict=True)), "probability": probability}
            for numeric, categorical, probability in rows
        ],
        "modelName": inspection.model_name,
        "semanticVersion": inspection.semantic_version,
        "releaseDigest": inspection.release_digest,
        "requestId": inspection.request_id,
        "variant": inspection.variant,
    }


def _to_number(value: float) -> float | str | None:
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return None if math.isnan(value) else value
