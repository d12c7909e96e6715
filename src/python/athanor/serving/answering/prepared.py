"""Questions that are ready to be computed, and their answers."""

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from athanor.contract.columns import Columns
from athanor.contract.validation import Breach
from athanor.errors import MOST_VIOLATIONS, AthanorError, FieldViolation, InvalidAnswerError
from athanor.release.graph import FeatureArrays
from athanor.serving.answering.interface import Question
from athanor.serving.answering.variants import Variant


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one question.

    Attributes:
        answers: columns of the variant's own contract, `count` values each, in the order of the rows.
        batch, first: the columns that the rows are in, of all questions computed together, and the index of the first.
        features: of the rows; None unless the question needs them.
        is_redirected: whether traffic chose another variant, whose contract does not allow the rows.
    """

    variant: Variant
    answers: Columns
    batch: Columns
    first: int
    count: int
    features: FeatureArrays | None = None
    is_redirected: bool = False

    @property
    def columns(self) -> Columns:
        """The rows of the question."""
        return take(self.batch, slice(self.first, self.first + self.count))


@dataclass(frozen=True, slots=True)
class Prepared:
    """Questions with valid rows.

    Attributes:
        columns: the rows of all questions, in their order.
        firsts: the first row of each question in the columns, and the number of all rows.
        chosen: the variant that answers each question, or the error if its version does not answer it.
        redirected: positions of questions that another variant answers than traffic chose.
    """

    questions: Sequence[Question]
    columns: Columns
    firsts: Sequence[int]
    chosen: Sequence[Variant | AthanorError]
    redirected: Set[int] = frozenset()

    def predict(self) -> list[Answer | Exception]:
        """Runs each variant once, on all rows that it answers. Releases the interpreter's lock most of the time."""
        answers: dict[int, Answer | Exception] = {
            position: c for position, c in enumerate(self.chosen) if isinstance(c, Exception)
        }
        for variant in {id(c): c for c in self.chosen if isinstance(c, Variant)}.values():
            answers.update(self._predict_by(variant))
        return [answers[position] for position in range(len(self.chosen))]

    def _predict_by(self, variant: Variant) -> Iterator[tuple[int, Answer | InvalidAnswerError]]:
        asked = [position for position, c in enumerate(self.chosen) if c is variant]
        columns = self.columns
        if len(asked) < len(self.chosen):
            columns = take(columns, np.concatenate([np.arange(*self.firsts[i : i + 2]) for i in asked]))
        features = None
        if any(self.questions[position].with_features for position in asked):
            answers, features = variant.predictor.predict_with_features(columns)
        else:
            answers = variant.predictor.predict(columns)
        is_valid = not variant.find_invalid(answers)
        start = 0
        for position in asked:
            question, first = self.questions[position], self.firsts[position]
            rows = slice(start, start + question.count)
            needed = features.take(rows) if features and question.with_features else None
            own = answers if len(asked) == 1 else take(answers, rows)
            answer = Answer(variant, own, self.columns, first, question.count, needed, position in self.redirected)
            yield position, answer if is_valid else _check(answer, question)
            start = rows.stop


def _check(answer: Answer, question: Question) -> Answer | InvalidAnswerError:
    """The answer, or the error of a question if one of its answers breaks the contract."""
    breaches = answer.variant.find_invalid(answer.answers)
    if not breaches:
        return answer
    # Each rule is broken by rows in ascending order, and one answer breaks one rule.
    found = sorted((breach.violation(at) for breach in breaches for at in _firsts(breach)), key=lambda v: v.row)
    count = sum(len(breach.rows) for breach in breaches)
    violations = tuple(
        FieldViolation(question.locate(v.row, ""), v.rule.value, f"has an answer that breaks the contract: {v}")
        for v in found[:MOST_VIOLATIONS]
    )
    version = answer.variant.semantic_version
    return InvalidAnswerError(
        f"the answers of {version} to {count} of {answer.count} rows break the contract",
        violations,
        count - len(violations),
    )


def _firsts(breach: Breach) -> range:
    return range(min(len(breach.rows), MOST_VIOLATIONS))


def take(columns: Columns, rows: slice | NDArray[np.intp]) -> Columns:
    """Some rows of columns."""
    return {name: values[rows] for name, values in columns.items()}
