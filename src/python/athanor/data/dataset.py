"""What a project declares about its data: raw tables, the transform to contract columns, and its own checks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from athanor.contract.columns import Columns
from athanor.data.sources.source import Source
from athanor.errors import ContractError, DataError

Tables: TypeAlias = Mapping[str, pd.DataFrame]
"""Raw tables by source name: one batch of the main table, and all rows of the others.

Their dtypes follow from the source's types, never from the values of a batch; see `to_frame`."""


@dataclass(frozen=True)
class Transformed:
    """What a transform returns for a batch of the main table.

    Attributes:
        frame: one row per example, with exactly the columns of the contract's row and outcome.
        left_out: number of rows of the batch that are not in the frame, by reason. `frame` and `left_out` together
            account for every row of the batch.

    >>> transformed = Transformed(pd.DataFrame({"amount": [1.0, 2.0]}), {"cancelled": 1})
    >>> transformed.require_all_accounted(4)
    Traceback (most recent call last):
    athanor.errors.DataError: the transform was given 4 rows and accounts for 3; count every row ...
    """

    frame: pd.DataFrame
    left_out: Mapping[str, int] = field(default_factory=dict)

    def require_all_accounted(self, rows: int) -> None:
        """Raises DataError unless each of `rows` rows is in the frame or counted in `left_out`."""
        accounted = len(self.frame) + sum(self.left_out.values())
        if accounted != rows:
            raise DataError(
                f"the transform was given {rows} rows and accounts for {accounted}; "
                "count every row that it leaves out under a reason, and join without multiplying rows"
            )


class CommittedColumns(Protocol):
    """The rows about to be committed, in the order of a snapshot, one column at a time."""

    @property
    def rows(self) -> int: ...

    def column(self, name: str) -> NDArray[Any]:
        """All values of a column, of shape (rows,) and the dtype of its `Kind`."""


RowCheck: TypeAlias = Callable[[Columns], NDArray[np.bool_]]
"""Takes a batch of contract columns and returns a bool mask, True where a row is wrong.

The function's name is the rule under which such rows are quarantined."""

DatasetCheck: TypeAlias = Callable[[CommittedColumns], str | None]
"""Returns what is wrong with the whole dataset, or None.

The function's name is the rule that a refused dataset breaks."""


@dataclass(frozen=True)
class Dataset:
    """Everything a project declares about its data.

    Attributes:
        sources: where each raw table comes from, by name.
        main: the source whose rows become examples. It is read in batches and may be larger than memory. The other
            sources are read whole, to be joined.
        transform: turns a batch of the main table into examples. The example made from one row must not depend on the
            other rows of the batch.
        row_checks: see `RowCheck`. They run on the rows that pass the contract's own rules, label included.
        checks: see `DatasetCheck`.
        batch_rows: approximate number of rows of the main table per call of `transform`.

    Raises:
        ContractError: `main` is not one of the sources, `batch_rows` is below 1, or a source other than `main` is
            incremental.

    >>> from athanor.data.sources.delimited import DelimitedFiles
    >>> def transform(tables: Tables) -> Transformed:
    ...     return Transformed(tables["orders"].merge(tables["customers"], on="customer"))
    >>> sources = {"orders": DelimitedFiles("orders.csv"), "customers": DelimitedFiles("customers.csv")}
    >>> Dataset(sources, main="order", transform=transform)
    Traceback (most recent call last):
    athanor.errors.ContractError: main is 'order'; it must be one of the sources orders, customers
    >>> Dataset(sources, main="orders", transform=transform).is_incremental
    False
    """

    sources: Mapping[str, Source]
    main: str
    transform: Callable[[Tables], Transformed]
    row_checks: tuple[RowCheck, ...] = ()
    checks: tuple[DatasetCheck, ...] = ()
    batch_rows: int = 500_000

    def __post_init__(self) -> None:
        if self.main not in self.sources:
            raise ContractError(f"main is {self.main!r}; it must be one of the sources {', '.join(self.sources)}")
        if self.batch_rows < 1:
            raise ContractError(f"batch_rows is {self.batch_rows}; it must be at least 1")
        if wrong := [name for name, source in self.sources.items() if source.is_incremental and name != self.main]:
            raise ContractError(
                f"source {', '.join(wrong)} is incremental; only the main source, {self.main}, can be, because the "
                "others are joined whole"
            )

    @property
    def is_incremental(self) -> bool:
        """Whether an ingest reads only new rows and merges them into the previous snapshot."""
        return self.sources[self.main].is_incremental
