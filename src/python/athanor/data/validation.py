"""Whether a dataset keeps its contract: the rules for each value, and those for the whole."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from athanor.contract.columns import Columns
from athanor.contract.contract import Contract
from athanor.contract.messages import is_missing
from athanor.contract.validation import Breach, validate
from athanor.errors import DataError

_SAMPLES = 3


@dataclass(frozen=True)
class Accepted:
    """The rows that keep the contract.

    Attributes:
        columns: arrays of equal length, sorted by event time and key.
        rejected: number of rows set aside, by `COLUMN RULE`. A row that breaks several rules counts under the first.
    """

    columns: Columns
    rejected: Mapping[str, int]


def accept(contract: Contract, values: Columns) -> Accepted:
    """Sets aside the rows that break the contract, within its budgets.

    Args:
        values: arrays for all of `contract.dataset_columns`.

    Raises:
        DataError: more rows break the contract than `rejected_budget`; or, among those that keep it, two have the same
            key, a column misses more values than its budget, or the label never varies. All problems at once.
    """
    length = len(values[contract.label.name])
    breaches = validate(contract.dataset_columns, values)
    broken = np.zeros(length, dtype=np.bool_)
    rejected: dict[str, int] = {}
    for breach in breaches:
        rejected[f"{breach.column.name} {breach.rule.value}"] = int((~broken[breach.rows]).sum())
        broken[breach.rows] = True
    problems = list(_over_budget(contract, breaches, broken))
    kept = {name: array[~broken] for name, array in values.items()}
    problems += _find_problems(contract, kept)
    if problems:
        raise DataError(f"{contract.name}: nothing was committed\n" + "\n".join(f"  - {p}" for p in problems))
    order = sort_order(contract, kept)
    return Accepted({name: array[order] for name, array in kept.items()}, {r: n for r, n in rejected.items() if n})


def sort_order(contract: Contract, values: Columns) -> NDArray[np.int64]:
    """The one order of a dataset's rows: by event time, then by key. Total, since keys are unique."""
    columns = [contract.event_time, *(column for column in contract.key if column != contract.event_time)]
    # lexsort takes the last array as the most significant.
    return np.lexsort([_sortable(values[column.name]) for column in reversed(columns)])


def _over_budget(contract: Contract, breaches: tuple[Breach, ...], broken: NDArray[np.bool_]) -> Iterator[str]:
    share = broken.mean() if len(broken) else 1.0
    if share <= contract.rejected_budget:
        return
    yield f"{broken.sum()} of {len(broken)} rows ({share:.2%}) break it, allowed are {contract.rejected_budget:.2%}"
    for breach in breaches:
        samples = "; ".join(f"row {v.row}: {v}" for v, _ in zip(breach, range(_SAMPLES), strict=False))
        count, of_all = len(breach.rows), len(breach.rows) / len(broken)
        yield f"{breach.column.name} {breach.rule.value}: {count} rows ({of_all:.2%}), for example {samples}"


def _find_problems(contract: Contract, values: Columns) -> Iterator[str]:
    length = len(values[contract.label.name])
    if not length:
        yield "no row is left"
        return
    if count := _count_repeated_keys(contract, values):
        names = ", ".join(column.name for column in contract.key)
        yield f"{count} rows repeat the key ({names}) of another"
    for column in contract.dataset_columns:
        share = float(is_missing(column, values[column.name]).mean())
        if share > column.missing_budget:
            yield f"{column.name} is missing in {share:.2%} of rows, allowed are {column.missing_budget:.2%}"
    labels = values[contract.label.name]
    if np.all(labels == labels[0]):
        yield f"label {contract.label.name} is {labels[0]:g} in every row; there is nothing to learn"


def _count_repeated_keys(contract: Contract, values: Columns) -> int:
    # By the key alone: between two rows of one key may lie others in time.
    order = np.lexsort([_sortable(values[column.name]) for column in contract.key])
    same: Any = True
    for column in contract.key:
        sorted_values = values[column.name][order]
        same = same & (sorted_values[1:] == sorted_values[:-1])
    return int(np.sum(same))


def _sortable(values: NDArray[Any]) -> NDArray[Any]:
    """As lexsort needs text: of fixed width."""
    return values.astype(str) if values.dtype == object else values
