"""Compares the selection of an edit with the expected one."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from selection.cases import KINDS, Case, Patterns, Selection
from selection.errors import CaseError


@dataclass(frozen=True)
class Outcome:
    """Outcome of one case.

    Attributes:
        missing: expected names that were not selected, by kind.
        surplus: selected names that were not expected, or are forbidden, by kind.
        reason: why everything runs, where it does; else None.
        error: why there is no answer; else None.
    """

    case: str
    selected: Selection
    missing: Selection
    surplus: Selection
    tests_in_all: int
    seconds: float = 0.0
    reason: str | None = None
    error: str | None = None

    @property
    def passed(self) -> bool:
        return self.error is None and self.missing == self.surplus == Selection()

    @property
    def share(self) -> float:
        """Of all test files, those selected: 0 to 1."""
        return len(self.selected.tests) / self.tests_in_all

    def complaints(self) -> Iterator[str]:
        """One sentence for each name that differs."""
        if self.error is not None:
            yield f"{self.case}: {self.error}"
        for kind in KINDS:
            for name in sorted(self.missing.of(kind)):
                yield f"{self.case}: {name} is missing in the selected {kind}: its dependency on the edited file is cut"
            for name in sorted(self.surplus.of(kind)):
                yield f"{self.case}: {name} is too much in the selected {kind}: it depends on the edited file"


def compare(
    case: Case, selected: Selection, everything: Selection, *, seconds: float = 0.0, reason: str | None = None
) -> Outcome:
    """Resolves the patterns of a case among all names, and compares them with the selection.

    Raises:
        CaseError: a pattern of the case fits nothing, or the case contradicts itself.
    """
    expected = _resolve(case.expected, everything, case.name)
    forbidden = _resolve(case.must_not, everything, f"{case.name}, must_not")
    if unknown := [name for kind in KINDS for name in forbidden.of(kind) - everything.of(kind)]:
        raise CaseError(f"{case.name}, must_not: {', '.join(unknown)} does not exist (deleted or mistyped)")
    surplus = _minus(selected, expected)
    # A name that the case both asks for and forbids is a mistake in the case: it fails, too.
    return Outcome(
        case=case.name,
        selected=selected,
        missing=_minus(expected, selected),
        surplus=Selection(*(surplus.of(kind) | (selected.of(kind) & forbidden.of(kind)) for kind in KINDS)),
        tests_in_all=len(everything.tests),
        seconds=seconds,
        reason=reason,
    )


def _resolve(patterns: Mapping[str, Patterns], everything: Selection, where: str) -> Selection:
    return Selection(*(patterns.get(kind, Patterns()).resolve(everything.of(kind), where) for kind in KINDS))


def _minus(left: Selection, right: Selection) -> Selection:
    return Selection(*(left.of(kind) - right.of(kind) for kind in KINDS))
