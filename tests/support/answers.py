"""Answers as a core would give them, without a release."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from support.flights import make_columns

from athanor.contract.columns import Columns
from athanor.contract.contract import Contract
from athanor.release.graph import FeatureArrays
from athanor.serving.answering.prepared import Answer
from athanor.serving.answering.variants import Variant
from projects.delays.model import MODEL

_DIGEST: Final = "d" * 64


def make_variant(
    name: str = "champion",
    version: str = "1.0.0",
    digest: str = _DIGEST,
    contract: Contract = MODEL.contract,
    numeric: Sequence[str] = (),
    categorical: Sequence[str] = (),
) -> Variant:
    """Args: numeric, categorical: names of its features."""
    release = SimpleNamespace(digest=digest)
    predictor: Any = SimpleNamespace(
        release=release, contract=contract, numeric=tuple(numeric), categorical=tuple(categorical)
    )
    return Variant(name, version, predictor)


def make_answer(
    answers: ArrayLike | Columns,
    variant: Variant | None = None,
    batch: Columns | None = None,
    features: FeatureArrays | None = None,
) -> Answer:
    """Args: answers: by column, or the only column of the variant's contract."""
    variant = variant or make_variant()
    if not isinstance(answers, dict):
        answers = {variant.contract.prediction.name: np.asarray(answers, np.float64)}
    count = len(next(iter(answers.values())))
    return Answer(variant, answers, make_columns(count) if batch is None else batch, 0, count, features)


def probabilities_of(answer: Answer) -> NDArray[np.float64]:
    """The answers of a release with one column."""
    (probabilities,) = answer.answers.values()
    return probabilities
