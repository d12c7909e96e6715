"""What a check found: one rule that data breaks, with how often and where."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One rule that a column, or the dataset as a whole, breaks.

    Attributes:
        column: its name, "" for the dataset as a whole.
        rule: stable code, for machines.
        count: rows that break it; 0 where rows cannot be counted.
        share: of all rows that were read, 0 to 1; NaN where rows cannot be counted.
        message: what is wrong, with the value and what is allowed, for people.
        samples: up to three of the values, each with its place.
        refuses: whether the dataset is refused for it; otherwise its rows were set aside within the budget.
    """

    column: str
    rule: str
    count: int
    share: float
    message: str
    samples: tuple[str, ...] = ()
    refuses: bool = True

    def __str__(self) -> str:
        samples = f", for example {'; '.join(self.samples)}" if self.samples else ""
        return f"{self.message}{samples}"
