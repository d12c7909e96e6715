"""The runner's own negative test: it must notice a cut dependency."""

from collections.abc import Sequence
from typing import Final

from selection.asking import ask
from selection.cases import Case, Selection, choose
from selection.comparison import compare
from selection.edits import Replace
from selection.errors import AskError
from selection.scratch import Scratch

CUT: Final = "tests/integration/edge_test.py without its dependency on docker/edge"
CUT_CASE: Final = "the edge's haproxy.cfg"
_CUT: Final = Replace("tests/integration/BUILD", '["docker/edge"]', '["!docker/edge"]')


def is_noticed(scratch: Scratch, cases: Sequence[Case], everything: Selection) -> bool:
    """Whether the case about the edge fails, and names the test, once the test no longer depends on its file."""
    (case,) = choose(cases, [CUT_CASE])
    cut = scratch.keep([_CUT], "Cut a dependency")
    with cut.edited(case.edits):
        try:
            outcome = compare(case, ask(cut, everything).selection, everything)
        except AskError:
            return False
    return not outcome.passed and outcome.missing.tests == frozenset({"tests/integration/edge_test.py"})
