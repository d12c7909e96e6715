"""The core behind every door: rows in, answers out, independent of protocols."""

from collections.abc import Iterator, Sequence, Set
from contextlib import suppress
from itertools import accumulate, chain

import numpy as np
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from athanor.contract.columns import Columns, conform
from athanor.contract.contract import Contract
from athanor.contract.messages import to_columns
from athanor.contract.validation import validate
from athanor.errors import AthanorError, InvalidRequestError, ModelNotFoundError
from athanor.serving.answering.interface import Interface, Question
from athanor.serving.answering.isolation import explain_failure
from athanor.serving.answering.loading import Loader
from athanor.serving.answering.prepared import Answer, Prepared, take
from athanor.serving.answering.refusals import Unread, refuse
from athanor.serving.answering.variants import LoadedTraffic, Variant


class Core:
    """Answers questions about one model, by the releases that take traffic.

    Attributes:
        traffic: replaced as a whole, so that an answer never mixes two traffic files.
    """

    def __init__(self, loader: Loader, loaded: LoadedTraffic | None = None) -> None:
        """Args: loaded: by the loader; by default what takes traffic now. Raises as `Loader.load` then."""
        self.model = loader.model
        self.traffic: LoadedTraffic = loaded or loader.load()

    @property
    def interface(self) -> Interface:
        """What doors read questions by, and write answers. The next request may have another."""
        return self.traffic.interface

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
            prepared = self.prepare([question])
            if isinstance(prepared, Exception):
                return prepared
            (variant,) = prepared.chosen
            if isinstance(variant, Exception):
                return variant
            error = explain_failure(variant.predictor, prepared.columns, question.count, question.locate) or failure
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
        contract = traffic.interface.contract
        columns = read_columns(questions, contract)
        if breaches := validate(contract.columns, columns):
            return refuse(breaches, Unread(), questions[0].count, questions[0].locate)
        firsts = tuple(accumulate((question.count for question in questions), initial=0))
        chosen: list[Variant | AthanorError] = [
            _choose(traffic, question, columns, first) for question, first in zip(questions, firsts, strict=False)
        ]
        redirected = _redirect(traffic, questions, columns, firsts, chosen)
        return Prepared(questions, columns, firsts, chosen, redirected)


def read_columns(questions: Sequence[Question], contract: Contract) -> Columns:
    """The rows of all questions, in their order, as columns of a contract."""
    if len(questions) > 1 and all(question.columns is None and question.contract is contract for question in questions):
        return to_columns(contract.columns, list(chain.from_iterable(question.messages for question in questions)))
    parts = [_read_alone(question, contract) for question in questions]
    if len(parts) == 1:
        return parts[0]
    return {column.name: np.concatenate([part[column.name] for part in parts]) for column in contract.columns}


def _read_alone(question: Question, contract: Contract) -> Columns:
    columns = question.columns
    if question.contract is contract:
        return to_columns(contract.columns, question.messages) if columns is None else columns
    # Read before the traffic changed, by the contract of then.
    if question.messages or question.content:
        with suppress(DecodeError):
            return to_columns(contract.columns, _parse_again(question, contract))
    if columns is None:
        columns = to_columns(question.contract.columns, question.messages)
    return conform(columns, contract.columns, question.count)


def _parse_again(question: Question, contract: Contract) -> Sequence[Message]:
    """The rows as messages of another contract: serialised, they keep fields that their own does not know."""
    if question.content:
        request = GetMessageClass(contract.predict.input_type).FromString(question.content)
        rows: Sequence[Message] = getattr(request, contract.rows_field.name)
        return rows
    row_class = GetMessageClass(contract.row)
    return [row_class.FromString(message.SerializeToString()) for message in question.messages]


def _choose(traffic: LoadedTraffic, question: Question, columns: Columns, first: int) -> Variant | ModelNotFoundError:
    def read_key() -> str:
        return question.sticky_key or traffic.interface.key(columns, first)

    try:
        return traffic.choose(question.semantic_version, read_key)
    except ModelNotFoundError as error:
        return error


def _redirect(
    traffic: LoadedTraffic,
    questions: Sequence[Question],
    columns: Columns,
    firsts: Sequence[int],
    chosen: list[Variant | AthanorError],
) -> Set[int]:
    """Chooses the newest variant for questions with rows that the chosen one's own contract does not allow.

    A question gets an error instead if it names the version, or if the rows are allowed by pinned releases alone.

    Returns:
        Positions of the questions that another variant answers.
    """
    redirected = set[int]()
    for variant in traffic.narrower:
        positions = [position for position, c in enumerate(chosen) if c is variant]
        breaches = validate(variant.contract.columns, columns) if positions else ()
        broken = {row for breach in breaches for row in breach.rows}
        for position in positions:
            question, first = questions[position], firsts[position]
            if broken.isdisjoint(range(first, first + question.count)):
                continue
            other = variant if question.semantic_version else traffic.newest
            rows = take(columns, slice(first, first + question.count))
            if breaches := validate(other.contract.columns, rows):
                chosen[position] = refuse(breaches, Unread(), question.count, question.locate)
            else:
                chosen[position] = other
                redirected.add(position)
    return redirected
