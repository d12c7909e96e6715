"""A gate that asks what the contract allows and the rows lack."""

import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from athanor.contract.columns import Column, Columns, Kind, Role
from athanor.contract.messages import FIRST_US, OUT_OF_RANGE_US
from athanor.contract.validation import validate
from athanor.release.answers import TOLERANCE, find_invalid, settle
from athanor.release.record import GateResult
from athanor.training.evaluation.evidence import Evidence, Rows, spread
from athanor.training.gates.artefact import ask_pipeline, measure, show_answer
from athanor.training.gates.bounds import require_count, require_range
from athanor.training.gates.gate import make_result

_SHOWN: Final = 3
_CLASSES: Final = (string.digits, string.ascii_lowercase, string.ascii_uppercase)


@dataclass(frozen=True)
class Corners:
    """The graph answers rows that the contract allows and the dataset lacks: validly, and as the pipeline does.

    A few of the held-out rows, evenly spaced, are changed in every way that the contract allows: without a column that
    may be missing, with an unseen text in a column without categories, with a category that no row has, with the
    smallest or the largest number or instant that is allowed; one column at a time, then all together.

    Attributes:
        rows: number of rows that are changed in each way.
        at_most: largest allowed difference from the pipeline, inclusive; in [0, 1). As that of `Parity`, and of numbers
            far from all labels relative to themselves.

    >>> Corners(rows=0)
    Traceback (most recent call last):
    athanor.errors.ContractError: answers to all that the contract allows: rows is 0; it must be at least 1
    >>> Corners().run(evidence).passed
    True
    """

    rows: int = 20
    at_most: float = TOLERANCE

    def __post_init__(self) -> None:
        require_count(self.name, "rows", self.rows)
        require_range(self.name, "at_most", self.at_most, 0.0, 1.0)

    @property
    def name(self) -> str:
        return "answers to all that the contract allows"

    def run(self, evidence: Evidence) -> GateResult:
        features = [column for column in evidence.model.contract.columns if Role.FEATURE in column.roles]
        usual = evidence.rows.take(spread(len(evidence.rows), self.rows)).columns
        corners = _list_corners(features, evidence.rows.columns, usual)
        changed = {corner: {**usual, **values} for corner, values in corners.items()}
        count = f"{len(changed):,} changes of {len(next(iter(usual.values()))):,} rows"
        wanted = f"valid answers that differ from the pipeline's by at most {self.at_most:g}"
        if not changed:
            return make_result(self, True, None, wanted, "the contract allows nothing that the rows lack")
        # All at once is quick, and mostly enough.
        together = {name: np.concatenate([each[name] for each in changed.values()]) for name in usual}
        whole = _ask(evidence, "all of these are asked together", together)
        if not self._is_failed(whole):
            explanation = f"after {count} all answers are valid, and the largest difference is {whole.difference:.3g}"
            return make_result(self, True, whole.difference, wanted, explanation)
        found = [_ask(evidence, corner, columns) for corner, columns in changed.items()]
        failed = [each for each in found if self._is_failed(each)] or [whole]
        largest = max((each.difference for each in found if not each.problem), default=0.0)
        shown = "; ".join(f"where {each.corner}, {each.problem or each.shown}" for each in failed[:_SHOWN])
        more = f"; and {len(failed) - _SHOWN:,} more" if len(failed) > _SHOWN else ""
        explanation = (
            f"{len(failed):,} of {count} have no such answer: {shown}{more}. Let the features or an encoder cope with "
            "it, use another estimator, or let the contract allow less"
        )
        return make_result(self, False, largest, wanted, explanation)

    def _is_failed(self, found: "_Found") -> bool:
        return bool(found.problem) or not found.difference <= self.at_most


@dataclass(frozen=True)
class _Found:
    """What came of one change.

    Attributes:
        problem: why there is no answer, or none that is allowed; "" if there is one.
        shown: both answers, where they differ most.
    """

    corner: str
    problem: str = ""
    difference: float = 0.0
    shown: str = ""


def _ask(evidence: Evidence, corner: str, columns: Columns) -> _Found:
    try:
        of_graph = evidence.predict(columns)
        of_pipeline = ask_pipeline(evidence, Rows.make(evidence.task, evidence.model, columns))
    except Exception as error:  # noqa: BLE001 - an estimator's or onnxruntime's own
        return _Found(corner, f"there is no answer: {str(error).splitlines()[0]}")
    given = [column for column in evidence.model.contract.answer if column.name in of_graph]
    if breaches := find_invalid(given, settle(given, of_graph)):
        first = breaches[0]
        return _Found(corner, f"{first.column.name} is {first.values[0]}; allowed is {first.column.allowed}")
    differences = measure(evidence, of_pipeline, of_graph) / _magnify(evidence, of_pipeline)
    worst = int(differences.argmax())
    ours, theirs = (show_answer(evidence, answers, worst) for answers in (of_graph, of_pipeline))
    shown = f"the graph answers {ours}, the pipeline {theirs}"
    return _Found(corner, "", float(differences[worst]), shown)


def _magnify(evidence: Evidence, answers: Columns) -> NDArray[np.float64]:
    """How many times as large as the scale the numbers of each answer are; at least 1."""
    numbers = [values for values in answers.values() if values.dtype.kind == "f"]
    return np.asarray(np.maximum(np.abs(numbers).max(axis=0) / evidence.task.scale(evidence.rows.labels), 1.0))


def _list_corners(features: list[Column], seen: Columns, usual: Columns) -> Mapping[str, Columns]:
    """The changed columns by what is changed, in words."""
    corners: dict[str, Columns] = {}
    together: dict[str, dict[str, NDArray[Any]]] = {}
    for column in features:
        for kind, words, values in _list_changes(column, seen[column.name], usual[column.name]):
            corners[f"{column.name} {words}"] = {column.name: values}
            together.setdefault(kind, {})[column.name] = values
    return {**corners, **{kind: changed for kind, changed in together.items() if len(changed) > 1}}


def _list_changes(column: Column, seen: NDArray[Any], usual: NDArray[Any]) -> Iterator[tuple[str, str, NDArray[Any]]]:
    """Kind, words and values of each change of a column."""
    if column.may_be_missing:
        yield "all that may be missing is missing", "is missing", column.missing(len(usual))
    if column.kind is Kind.TEXT:
        if (text := _find_unseen(column, seen)) is not None:
            yield "no text has been seen", "has not been seen", np.full(len(usual), text, object)
        for category in sorted(set(column.categories) - set(seen.tolist())):
            yield "no category has been seen", f"is {category}, which no row has", np.full(len(usual), category, object)
    for kind, word, value in _list_bounds(column):
        yield kind, f"is {word}, {value}", np.full(len(usual), value, column.dtype)


def _list_bounds(column: Column) -> Iterator[tuple[str, str, Any]]:
    smallest, largest = "all is as small as it may be", "all is as large as it may be"
    if column.kind is Kind.BOOLEAN:
        yield smallest, "false", 0.0
        yield largest, "true", 1.0
    if column.kind in (Kind.NUMBER, Kind.INTEGER):
        if isfinite(column.minimum):
            yield smallest, "as small as it may be", column.minimum
        if isfinite(column.maximum):
            yield largest, "as large as it may be", column.maximum
    if column.kind is Kind.TIMESTAMP:
        yield smallest, "as early as it may be", np.datetime64(FIRST_US, "us")
        yield largest, "as late as it may be", np.datetime64(OUT_OF_RANGE_US - 1, "us")


def _find_unseen(column: Column, seen: NDArray[Any]) -> str | None:
    """A text that the column allows and no row has; None if there is none, or its pattern shows none."""
    if column.categories:
        return None
    known = set(seen.tolist())
    candidates = (text for base in ("unseen", *sorted(known)[:100]) for text in _vary(base))
    return next((text for text in candidates if text not in known and _is_allowed(column, text)), None)


def _vary(text: str) -> Iterator[str]:
    """A text, and others that have another digit or letter in one place."""
    yield text
    for position, character in enumerate(text):
        for among in _CLASSES:
            if character in among:
                yield from (text[:position] + other + text[position + 1 :] for other in among)


def _is_allowed(column: Column, text: str) -> bool:
    return not validate([column], {column.name: np.array([text], dtype=object)})
