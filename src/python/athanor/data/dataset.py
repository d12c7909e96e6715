"""Datasets as a project declares them: raw tables, how they become contract columns, and what must be true of them."""

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
"""Raw tables by the name of their source: a batch of the main table, and the others whole."""


@dataclass(frozen=True)
class Transformed:
    """What a transform made of a batch of the main table.

    Attributes:
        frame: one row an example, with exactly the columns of the contract's row and outcome.
        left_out: how many of the batch's rows are not in the frame, by reason. Together they are all of the batch.
    """

    frame: pd.DataFrame
    left_out: Mapping[str, int] = field(default_factory=dict)

    def require_all_accounted(self, rows: int) -> None:
        """Raises DataError unless every one of `rows` rows is in the frame or left out under a reason."""
        accounted = len(self.frame) + sum(self.left_out.values())
        if accounted != rows:
            raise DataError(
                f"the transform was given {rows} rows and accounts for {accounted}; "
                "count every row that it leaves out under a reason, and join without multiplying rows"
            )


class CommittedColumns(Protocol):
    """The rows that are about to be committed, in the dataset's one order, one column at a time."""

    @property
    def rows(self) -> int: ...

    def column(self, name: str) -> NDArray[Any]:
        """All values of a column, as its `Kind` says."""


RowCheck: TypeAlias = Callable[[Columns], NDArray[np.bool_]]
"""Says which rows of a batch are wrong. Its name is the rule under which they are set aside."""

DatasetCheck: TypeAlias = Callable[[CommittedColumns], str | None]
"""Says what is wrong with a dataset as a whole, or None. Its name is the rule for which the dataset is refused."""


@dataclass(frozen=True)
class Dataset:
    """All that a project says about its data.

    Attributes:
        sources: where each raw table comes from, by name.
        main: the source whose rows become examples. It is read in batches and may be larger than memory; the others are
            read whole, to be joined.
        transform: makes examples of a batch of the main table. What it makes of a row must not depend on the others.
        row_checks: see `RowCheck`; they run on the rows that keep the contract's own rules, label included.
        checks: see `DatasetCheck`.
        batch_rows: how many rows of the main table `transform` is given at once, about.
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
                f"source {', '.join(wrong)} is read incrementally; only the main one, {self.main}, can be: the others "
                "are joined whole"
            )

    @property
    def is_incremental(self) -> bool:
        """Whether an ingest reads only what is new, and what it reads is merged into the snapshot before it."""
        return self.sources[self.main].is_incremental
