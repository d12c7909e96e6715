"""The results of checks: broken rules, with how often and where, and notes."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One rule that a column, or the whole dataset, breaks.

    Attributes:
        column: column name, "" for the whole dataset.
        rule: stable code, for machines.
        count: rows that break the rule; 0 if the rule is not about rows.
        share: share of all rows read, 0 to 1; NaN if the rule is not about rows.
        message: what is wrong, with the value and the allowed values, for people.
        samples: up to three of the values, each with its row's key.
        refuses: whether the dataset is refused; otherwise its rows were quarantined within the budget.
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


@dataclass(frozen=True)
class Note:
    """What breaks no rule and people should know: a check that a contract leaves no way to make, rows that are equal.

    Attributes:
        rule: stable code, for machines.
        message: for people.
    """

    rule: str
    message: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.message}"
