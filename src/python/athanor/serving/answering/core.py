"""The core behind every door: rows in, probabilities out, independent of protocols."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, chain
from pathlib import Path

import numpy as np
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from numpy.typing import NDArray

from athanor.contract.columns import Columns
from athanor.contract.contract import Contract
from athanor.contract.messages import to_columns
from athanor.contract.validation import Breach, validate
from athanor.errors import AthanorError, FieldViolation, InvalidRequestError, ModelNotFoundError
from athanor.features.features import FeatureArrays, Model
from athanor.release.store import ReleaseStore
from athanor.serving.answering.variants import LoadedTraffic, Variant, load_traffic


@dataclass(frozen=True, slots=True)
class Question:
    """Rows to predict, as columns or, if `columns` is None, as messages.

    Attributes:
        count: number of rows, at least one.
        locate: names a value for the caller, by row and column: `flights[3].distance`.
        semantic_version: version to ask; "" to choose by traffic.
        sticky_key: key that chooses the variant; "" for the key columns of the first row.
    """

    count: int
    locate: Callable[[int, str], str]
    messages: Sequence[Message] = ()
    columns: Columns | None = None
    semantic_version: str = ""
    sticky_key: str = ""


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows computed together, of one question or of several."""

    columns: Columns
    features: FeatureArrays


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one question.

    Attributes:
        probabilities: of the positive class, float64 of shape (count,), in the order of the rows.
        batch, first: the batch that the rows are in, and the index of the first one there.
    """

    variant: Variant
    probabilities: NDArray[np.float64]
    batch: Batch
    first: int

    @property
    def count(self) -> int:
        return len(self.probabilities)

    @property
    def features(self) -> FeatureArrays:
        if self.count == len(self.batch.features):
            return self.batch.features
        return self.batch.features.take(_rows(self.first, self.first + self.count))


class Core:
    """Answers questions about one model, by the releases that take traffic."""

    def __init__(self, model: Model, store: ReleaseStore, max_rows: int, require_signature: Path | None = None) -> None:
        """Loads and proves what takes traffic.

        Args:
            require_signature: public key of the required signature; None to require none.

        Raises:
            NotFoundError: nothing takes traffic.
            ReleaseError, SettingsError: as `load_traffic`.
        """
        self.model = model
        self.request_class = GetMessageClass(model.contract.predict.input_type)
        self.response_class = GetMessageClass(model.contract.predict.output_type)
        self.max_rows = max_rows
        # Replaced as a whole, so that an answer never mixes two traffic files.
        self.traffic: LoadedTraffic = load_traffic(model, store, store.read_traffic(model.name), require_signature)

    @property
    def contract(self) -> Contract:
        return self.model.contract

    def ask_by_messages(
        self, messages: Sequence[Message], model_name: str = "", semantic_version: str = "", sticky_key: str = ""
    ) -> Question:
        """A question about messages of the contract.

        Raises:
            ModelNotFoundError: the request names another model.
            InvalidRequestError: there are no rows, or too many.
        """
        field = self.contract.rows_field.name
        self.check_model(model_name)
        self.check_count(len(messages), field)
        return Question(
            len(messages),
            partial(_locate_in_messages, field),
            messages=messages,
            semantic_version=semantic_version,
            sticky_key=sticky_key,
        )

    def check_model(self, name: str) -> None:
        """Raises ModelNotFoundError if a request names another model."""
        if name and name != self.contract.name:
            raise ModelNotFoundError(f"model {name!r} is not served here; {self.contract.name!r} is")

    def check_count(self, count: int, field: str) -> None:
        """Raises InvalidRequestError if a request has no rows or too many."""
        if not count:
            violation = FieldViolation(field, "REQUIRED", "is required; give at least one")
            raise InvalidRequestError(f"{field} is empty", (violation,))
        if count > self.max_rows:
            violation = FieldViolation(field, "TOO_MANY", f"{count} are too many; give at most {self.max_rows}")
            raise InvalidRequestError(f"{field} has more than {self.max_rows} rows", (violation,))

    def answer(self, question: Question) -> Answer:
        """Answers one question.

        Raises:
            ModelNotFoundError: the version of the question does not answer.
            InvalidRequestError: rows break the contract; names every violation.
        """
        (answer,) = self.answer_together([question])
        if isinstance(answer, AthanorError):
            raise answer
        return answer

    def answer_together(self, questions: Sequence[Question]) -> list[Answer | AthanorError]:
        """Answers several questions for little more than the cost of one, each as if asked alone.

        Returns:
            For each question its answer, or the error that `answer` would raise.
        """
        prepared = self.prepare(questions)
        if isinstance(prepared, Prepared):
            return prepared.predict()
        if len(questions) == 1:
            return [prepared]
        return [answer for question in questions for answer in self.answer_together([question])]

    def prepare(self, questions: Sequence[Question]) -> "Prepared | InvalidRequestError":
        """Does everything of `answer_together` except running the graphs.

        Returns:
            Questions ready to compute; or, if a row breaks the contract, an error that fits a single question only.
        """
        traffic = self.traffic
        columns = self._read(questions)
        if breaches := validate(self.contract.columns, columns):
            return _refuse(questions[0], breaches)
        firsts = tuple(accumulate((question.count for question in questions), initial=0))
        chosen = tuple(
            self._choose(traffic, question, columns, first) for question, first in zip(questions, firsts, strict=False)
        )
        return Prepared(Batch(columns, self.model.features(columns)), firsts, chosen)

    def _read(self, questions: Sequence[Question]) -> Columns:
        """The rows of all questions, in their order."""
        columns = self.contract.columns
        if all(question.columns is None for question in questions):
            alone = len(questions) == 1
            return to_columns(columns, questions[0].messages if alone else _chain(questions))
        parts = [
            to_columns(columns, question.messages) if question.columns is None else question.columns
            for question in questions
        ]
        if len(parts) == 1:
            return parts[0]
        return {column.name: np.concatenate([part[column.name] for part in parts]) for column in columns}

    def _choose(
        self, traffic: LoadedTraffic, question: Question, columns: Columns, first: int
    ) -> Variant | ModelNotFoundError:
        def read_key() -> str:
            return question.sticky_key or self._key(columns, first)

        try:
            return traffic.choose(question.semantic_version, read_key)
        except ModelNotFoundError as error:
            return error

    def _key(self, columns: Columns, row: int) -> str:
        return "\x1f".join(str(columns[column.name][row]) for column in self.contract.key)


def _chain(questions: Sequence[Question]) -> list[Message]:
    return list(chain.from_iterable(question.messages for question in questions))


@dataclass(frozen=True, slots=True)
class Prepared:
    """Questions with valid rows, and their features.

    Attributes:
        firsts: the first row of each question in the batch, and the number of all rows.
        chosen: the variant that answers each question, or the error if its version does not answer.
    """

    batch: Batch
    firsts: Sequence[int]
    chosen: Sequence[Variant | ModelNotFoundError]

    def predict(self) -> list[Answer | AthanorError]:
        """Runs each variant once, on all rows that it answers. Releases the interpreter's lock most of the time."""
        answers: dict[int, Answer | AthanorError] = {
            position: c for position, c in enumerate(self.chosen) if isinstance(c, AthanorError)
        }
        for variant in {id(c): c for c in self.chosen if isinstance(c, Variant)}.values():
            answers.update(self._predict_by(variant))
        return [answers[position] for position in range(len(self.chosen))]

    def _predict_by(self, variant: Variant) -> Iterator[tuple[int, Answer]]:
        asked = [position for position, c in enumerate(self.chosen) if c is variant]
        features = self.batch.features
        if len(asked) < len(self.chosen):
            features = features.take(np.concatenate([_rows(*self.firsts[i : i + 2]) for i in asked]))
        probabilities = variant.predictor.answer(features)
        start = 0
        for position in asked:
            first, last = self.firsts[position : position + 2]
            end = start + last - first
            yield position, Answer(variant, probabilities[start:end], self.batch, first)
            start = end


def _rows(first: int, last: int) -> NDArray[np.intp]:
    return np.arange(first, last)


def _locate_in_messages(field: str, row: int, column: str) -> str:
    return f"{field}[{row}].{column}"


def _refuse(question: Question, breaches: tuple[Breach, ...]) -> InvalidRequestError:
    found = sorted((v for breach in breaches for v in breach), key=lambda v: (v.row, v.column.number))
    violations = tuple(FieldViolation(question.locate(v.row, v.column.name), v.rule.value, str(v)) for v in found)
    rows = len({violation.row for violation in found})
    return InvalidRequestError(f"{len(violations)} values in {rows} of the rows break the contract", violations)
