"""The core behind every door: rows in, probabilities out, independent of protocols."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain

import numpy as np
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from numpy.typing import NDArray

from athanor.contract.assignment import tells_callers_apart
from athanor.contract.columns import Columns
from athanor.contract.contract import Contract
from athanor.contract.messages import to_columns
from athanor.contract.shown import shown
from athanor.contract.validation import Breach, validate
from athanor.errors import MOST_VIOLATIONS, FieldViolation, InvalidAnswerError, InvalidRequestError, ModelNotFoundError
from athanor.release.graph import FeatureArrays
from athanor.release.store import ReleaseStore
from athanor.release.trust import Trust
from athanor.serving.answering.isolation import explain_failure
from athanor.serving.answering.refusals import Locate, Unread, refuse
from athanor.serving.answering.variants import LoadedTraffic, Variant, load_traffic


@dataclass(frozen=True, slots=True)
class Question:
    """Rows to predict, as columns or, if `columns` is None, as messages.

    Attributes:
        count: number of rows, at least one.
        locate: names a value for the caller, or a row.
        semantic_version: version to ask; "" to choose by traffic.
        sticky_key: key that chooses the variant; "" for the key columns of the first row.
        with_features: whether its answer needs the features.
    """

    count: int
    locate: Locate
    messages: Sequence[Message] = ()
    columns: Columns | None = None
    semantic_version: str = ""
    sticky_key: str = ""
    with_features: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one question.

    Attributes:
        probabilities: of the positive class, float64 of shape (count,), in the order of the rows.
        batch, first: the columns that the rows are in, of all questions computed together, and the index of the first.
        features: of the rows; None unless the question needs them.
    """

    variant: Variant
    probabilities: NDArray[np.float64]
    batch: Columns
    first: int
    features: FeatureArrays | None = None

    @property
    def count(self) -> int:
        return len(self.probabilities)

    @property
    def columns(self) -> Columns:
        """The rows of the question."""
        return take(self.batch, slice(self.first, self.first + self.count))


class Core:
    """Answers questions about one model, by the releases that take traffic.

    Attributes:
        sticks_by_request_id: whether the contract's key cannot tell callers apart, so that a question without a sticky
            key needs its request's id as one.
    """

    def __init__(self, contract: Contract, store: ReleaseStore, max_rows: int, trust: Trust | None = None) -> None:
        """Loads and proves what takes traffic.

        Args:
            trust: signatures that are required; None to require none.

        Raises:
            NotFoundError: nothing takes traffic.
            ReleaseError, SettingsError: as `load_traffic`.
        """
        self.contract = contract
        self.request_class = GetMessageClass(contract.predict.input_type)
        self.response_class = GetMessageClass(contract.predict.output_type)
        self.max_rows = max_rows
        self.sticks_by_request_id = not tells_callers_apart(contract.wire)
        # Replaced as a whole, so that an answer never mixes two traffic files.
        self.traffic: LoadedTraffic = load_traffic(contract, store, store.read_traffic(contract.name), trust)

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
            self.locate,
            messages=messages,
            semantic_version=semantic_version,
            sticky_key=sticky_key,
        )

    def ask_by_columns(
        self,
        columns: Columns,
        locate: Locate,
        semantic_version: str = "",
        sticky_key: str = "",
        unread: Unread | None = None,
    ) -> Question:
        """A question about rows that were read into columns: at least one, and not too many.

        Raises:
            InvalidRequestError: some values are unread; names them, and every value that breaks the contract.
        """
        count = len(columns[self.contract.columns[0].name])
        if unread:
            raise refuse(validate(self.contract.columns, columns), unread, count, locate)
        return Question(count, locate, columns=columns, semantic_version=semantic_version, sticky_key=sticky_key)

    def locate(self, row: int, column: str) -> str:
        """Names a value of a request in the contract's own messages, or a row if the column is ""."""
        field = self.contract.rows_field.name
        return f"{field}[{row}].{column}" if column else f"{field}[{row}]"

    def check_model(self, name: str) -> None:
        """Raises ModelNotFoundError if a request names another model."""
        if name and name != self.contract.name:
            raise ModelNotFoundError(f"model {shown(name)} is not served here; {self.contract.name!r} is")

    def check_count(self, count: int, field: str) -> None:
        """Raises InvalidRequestError if a request has no rows or too many."""
        if not count:
            violation = FieldViolation(field, "REQUIRED", "is required; give at least one")
            raise InvalidRequestError(f"{field} is empty", (violation,))
        if count > self.max_rows:
            violation = FieldViolation(field, "TOO_MANY", f"has more than {self.max_rows} rows; give no more")
            raise InvalidRequestError(f"{field} has more than {self.max_rows} rows", (violation,))

    def answer(self, question: Question) -> Answer:
        """Answers one question.

        Raises:
            ModelNotFoundError: the version of the question does not answer.
            InvalidRequestError: rows break the contract, or the model fails on them; names the first violations.
            InvalidAnswerError: the model's answers break the contract; names the rows.
            Exception: the model fails, whatever the rows.
        """
        (answer,) = self.answer_together([question])
        if isinstance(answer, Exception):
            raise answer
        return answer

    def answer_together(self, questions: Sequence[Question]) -> list[Answer | Exception]:
        """Answers several questions, each as if asked alone.

        Returns:
            For each question its answer, or the error that `answer` would raise.
        """
        try:
            return self.compute(questions)
        except Exception as error:  # noqa: BLE001 - graphs raise anything
            found = dict(self.answer_apart(questions, error))
            return [found[position] for position in range(len(questions))]

    def compute(self, questions: Sequence[Question]) -> list[Answer | Exception]:
        """As `answer_together`, for little more than the cost of one question. Raises what graphs raise."""
        prepared = self.prepare(questions)
        if isinstance(prepared, Prepared):
            return prepared.predict()
        if len(questions) == 1:
            return [prepared]
        return [answer for question in questions for answer in self.compute([question])]

    def answer_apart(
        self, questions: Sequence[Question], failure: Exception
    ) -> Iterator[tuple[int, Answer | Exception]]:
        """As `answer_together`, after `compute` failed on these questions: positions and answers, as they are found.

        Halves the questions until it finds those at fault, and explains these last. Twenty among 400 take 200 runs, all
        400 take 800: 40 and 200 ms. Call it in a thread.
        """
        ranges, failures = [(0, len(questions), failure)], list[tuple[int, Exception]]()
        while ranges:
            first, last, error = ranges.pop()
            if last - first == 1:
                failures.append((first, error))
                continue
            middle = (first + last) // 2
            for start, end in ((first, middle), (middle, last)):
                try:
                    yield from enumerate(self.compute(questions[start:end]), start)
                except Exception as error_of_half:  # noqa: BLE001 - as above
                    ranges.append((start, end, error_of_half))
        for position, error in failures:
            yield position, self._explain(questions[position], error)

    def _explain(self, question: Question, failure: Exception) -> Answer | Exception:
        """The error for the caller; the service's own failure if no row is at fault."""
        try:
            columns = self._read([question])
            variant = self._choose(self.traffic, question, columns, 0)
            if isinstance(variant, ModelNotFoundError):
                return variant
            error = explain_failure(variant.predictor, columns, question.count, question.locate) or failure
        except Exception as error_now:  # noqa: BLE001 - it is as likely the service's
            return error_now
        if error is not failure:
            error.__cause__ = failure
        return error

    def prepare(self, questions: Sequence[Question]) -> "Prepared | InvalidRequestError":
        """Does everything of `answer_together` except running the graphs.

        Returns:
            Questions ready to compute; or, if a row breaks the contract, an error that fits a single question only.
        """
        traffic = self.traffic
        columns = self._read(questions)
        if breaches := validate(self.contract.columns, columns):
            return refuse(breaches, Unread(), questions[0].count, questions[0].locate)
        firsts = tuple(accumulate((question.count for question in questions), initial=0))
        chosen = tuple(
            self._choose(traffic, question, columns, first) for question, first in zip(questions, firsts, strict=False)
        )
        return Prepared(questions, columns, firsts, chosen)

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
    """Questions with valid rows.

    Attributes:
        columns: the rows of all questions, in their order.
        firsts: the first row of each question in the columns, and the number of all rows.
        chosen: the variant that answers each question, or the error if its version does not answer.
    """

    questions: Sequence[Question]
    columns: Columns
    firsts: Sequence[int]
    chosen: Sequence[Variant | ModelNotFoundError]

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
            probabilities, features = variant.predictor.predict_with_features(columns)
        else:
            probabilities = variant.predictor.predict(columns)
        is_valid = not variant.find_invalid(probabilities)
        start = 0
        for position in asked:
            question, first = self.questions[position], self.firsts[position]
            rows = slice(start, start + question.count)
            needed = features.take(rows) if features is not None and question.with_features else None
            answer = Answer(variant, probabilities[rows], self.columns, first, needed)
            yield position, answer if is_valid else _check(answer, question)
            start = rows.stop


def _check(answer: Answer, question: Question) -> Answer | InvalidAnswerError:
    """The answer, or the error of a question if one of its answers breaks the contract."""
    breaches = answer.variant.find_invalid(answer.probabilities)
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
