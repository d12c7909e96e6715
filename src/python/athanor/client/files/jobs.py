"""Predict a whole file of rows."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from athanor.client.batches import Refused, require_count
from athanor.client.client import Client
from athanor.client.contract.method import AnsweredBy
from athanor.client.files.records import Write, to_record
from athanor.client.files.refusals import find_all_violations
from athanor.errors import FieldViolation, InvalidAnswerError, InvalidRequestError, NotComputableError, RowsError
from athanor.progress import Advance


@dataclass(frozen=True)
class JobOptions:
    """Options of the requests; see `Client.predict_many`."""

    batch_rows: int
    timeout_s: float
    semantic_version: str | None

    def __post_init__(self) -> None:
        """Raises SettingsError if `batch_rows` is below 1."""
        require_count("batch_rows", self.batch_rows)


@dataclass(frozen=True)
class Share:
    """Number of rows that one release answered."""

    model_name: str
    semantic_version: str
    release_digest: str
    variant: str
    rows: int


@dataclass(frozen=True)
class Summary:
    """Result of a file.

    Attributes:
        retries: number of retried calls.
    """

    rows: int
    retries: int
    answered_by: tuple[Share, ...]


def predict_all(client: Client, rows: Iterable[Any], options: JobOptions, write: Write, advance: Advance) -> Summary:
    """Predicts all rows and writes each prediction.

    Continues after rows that the service refuses, to report all violations at once; discard the output then.

    Args:
        advance: called after each request with the number of rows done.

    Raises:
        InvalidRequestError: there are no rows, or some break the contract; names all violations by row.
        InvalidAnswerError: some answers break the contract, and all rows are valid; names all by row.
        The errors of `Client.predict`.
    """
    violations: list[FieldViolation] = []
    refusals: list[RowsError] = []

    def refuse(refused: Refused) -> None:
        refusals.append(refused.error)
        violations.extend(find_all_violations(refused, ask))

    def ask(some: Sequence[Any]) -> object:
        return client.predict(some, options.timeout_s, semantic_version=options.semantic_version)

    answered: Counter[AnsweredBy] = Counter()
    for predicted in client.predict_many(
        rows,
        batch_rows=options.batch_rows,
        timeout_s=options.timeout_s,
        semantic_version=options.semantic_version,
        on_refused=refuse,
    ):
        if not refusals:
            write(to_record(predicted))
        answered[replace(predicted.answered_by, request_id="")] += 1
        if (predicted.row + 1) % options.batch_rows == 0:
            advance(f"{predicted.row + 1:,} rows", options.batch_rows)
    if refusals:
        raise _refuse(refusals, violations)
    if not answered:
        raise InvalidRequestError("there are no rows")
    shares = (
        Share(by.model_name, by.semantic_version, by.release_digest, by.variant, count)
        for by, count in answered.items()
    )
    return Summary(answered.total(), client.retries, tuple(shares))


def _refuse(refusals: Sequence[RowsError], violations: Sequence[FieldViolation]) -> RowsError:
    """One error for all refused batches; of their kind, if all have the same."""
    kinds = {type(error) for error in refusals}
    rows = len({violation.field.partition("]")[0] for violation in violations})
    if kinds == {InvalidAnswerError}:
        return InvalidAnswerError(f"the answers to {rows} rows break the contract", tuple(violations))
    if kinds == {NotComputableError}:
        message = f"the model fails on {len(violations)} values in {rows} rows, which keep the contract"
        return NotComputableError(message, tuple(violations))
    return InvalidRequestError(f"{len(violations)} values in {rows} rows break the contract", tuple(violations))
