"""Parts of the runner. The runner itself compares Pants with the table: a sandbox has no history."""

from pathlib import Path
from typing import Final

import pytest
from selection.asking import read_answer
from selection.cases import Case, Patterns, Selection, choose, matches, read_cases
from selection.comparison import compare
from selection.errors import AskError, CaseError
from selection.negative import CUT_CASE
from selection.scratch import files_of_guide

_TABLE: Final = Path(__file__).parent / "cases.yaml"
_ALL: Final = Selection(
    tests=frozenset(
        {"tests/data/tables/keys_test.py", "tests/data/report/page_test.py", "tests/serving/answering/core_test.py"}
    ),
    binaries=frozenset({"src/cli:client", "src/cli:serving"}),
    images=frozenset({"docker/serving:image"}),
)


def _case(**expected: tuple[str, ...]) -> Case:
    return Case("an edit", (), {kind: Patterns(globs) for kind, globs in expected.items()})


def _select(*tests: str, binaries: tuple[str, ...] = ()) -> Selection:
    return Selection(frozenset(tests), frozenset(binaries))


def test_the_table_is_well_formed_and_has_the_case_whose_dependency_is_cut() -> None:
    cases = read_cases(_TABLE)
    assert len(cases) >= 25
    assert choose(cases, [CUT_CASE])[0].expected["tests"] == Patterns(("tests/integration/edge_test.py",))


def test_an_expected_selection_passes() -> None:
    case = _case(tests=("tests/data/**",), binaries=("src/cli:*", "!src/cli:client"))
    selected = _select(
        "tests/data/tables/keys_test.py", "tests/data/report/page_test.py", binaries=("src/cli:serving",)
    )
    outcome = compare(case, selected, _ALL)
    assert (outcome.passed, list(outcome.complaints())) == (True, [])
    assert outcome.share == pytest.approx(2 / 3)


def test_a_test_that_is_not_selected_is_named_as_missing() -> None:
    outcome = compare(_case(tests=("tests/data/**",)), _select("tests/data/tables/keys_test.py"), _ALL)
    assert not outcome.passed
    (complaint,) = outcome.complaints()
    assert complaint.startswith("an edit: tests/data/report/page_test.py is missing in the selected tests")


def test_a_surplus_selection_is_named_as_too_much() -> None:
    outcome = compare(_case(), _select(binaries=("src/cli:client",)), _ALL)
    assert not outcome.passed
    (complaint,) = outcome.complaints()
    assert complaint.startswith("an edit: src/cli:client is too much in the selected binaries")


def test_a_forbidden_name_fails_the_case_even_if_a_glob_expects_it() -> None:
    case = Case(
        "an edit",
        (),
        {"tests": Patterns(("tests/**",))},
        must_not={"tests": Patterns(("tests/serving/answering/core_test.py",))},
    )
    outcome = compare(case, Selection(_ALL.tests), _ALL)
    assert outcome.surplus.tests == {"tests/serving/answering/core_test.py"}


def test_a_deleted_name_is_missing_if_expected_and_an_error_if_forbidden() -> None:
    gone = Patterns(("tests/gone_test.py",))
    assert compare(Case("an edit", (), {"tests": gone}), _select(), _ALL).missing.tests == {"tests/gone_test.py"}
    with pytest.raises(CaseError, match="does not exist"):
        compare(Case("an edit", (), {}, must_not={"tests": gone}), _select(), _ALL)


def test_a_case_without_an_answer_fails() -> None:
    outcome = compare(_case(), _select(), _ALL)
    assert not type(outcome)(**{**vars(outcome), "error": "Pants ended with 1"}).passed


@pytest.mark.parametrize("glob", ["tests/gone/*", "tests/*_test.py", "!tests/serving/answering/core_test.py"])
def test_a_glob_that_fits_nothing_is_an_error(glob: str) -> None:
    with pytest.raises(CaseError, match="fits nothing"):
        compare(_case(tests=("tests/data/**", glob)), _select(), _ALL)


@pytest.mark.parametrize(
    ("name", "glob", "fits"),
    [
        ("tests/data/tables/keys_test.py", "tests/data/*/keys_test.py", True),
        ("tests/data/report/page_test.py", "tests/*/page_test.py", False),
        ("tests/data/report/page_test.py", "tests/**/page_test.py", True),
        ("tests/page_test.py", "tests/**/page_test.py", True),
        ("src/cli:client", "src/cli:*", True),
        ("tests/data", "tests/data/*", False),
    ],
)
def test_a_star_crosses_no_folder_and_two_do(name: str, glob: str, fits: bool) -> None:
    assert matches(name, glob) is fits


@pytest.mark.parametrize(
    "text",
    [
        "name: no list",
        "[]",
        "cases: [{name: without edits}]",
        "cases: [{name: a, edits: [], test: []}]",
        "cases: [{name: a, edits: [], must_not: {test: []}}]",
        "cases: [{name: a, edits: []}, {name: a, edits: []}]",
        "cases: [{name: a, edits: [{move: x}]}]",
        "cases: [{name: a, edits: [{append: x, delete: x}]}]",
        "cases: [{name: a, edits: [{rename: x}]}]",
    ],
)
def test_a_malformed_table_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "cases.yaml").write_text(text)
    with pytest.raises(CaseError):
        read_cases(tmp_path / "cases.yaml")


def test_an_unknown_case_is_named_beside_the_known_ones() -> None:
    with pytest.raises(CaseError, match="no case named another; there are: an edit"):
        choose([_case()], ["another"])


def test_images_are_separated_from_binaries() -> None:
    answer = '{"tests": ["t_test.py"], "packages": ["docker/a:image", "src:b"], "reason": null, "everything": false}'
    selection, reason = read_answer(answer)
    assert selection == Selection(frozenset({"t_test.py"}), frozenset({"src:b"}), frozenset({"docker/a:image"}))
    assert reason is None


def test_a_double_colon_means_everything() -> None:
    answer = '{"tests": ["::"], "packages": ["::"], "reason": "part of Pants"}'
    assert read_answer(answer, _ALL) == (_ALL, "part of Pants")


@pytest.mark.parametrize("text", ["", "[]", '{"tests": []}'])
def test_a_malformed_answer_is_an_error(text: str) -> None:
    with pytest.raises(AskError, match="printed no answer"):
        read_answer(text)


def test_the_files_of_the_second_project_come_out_of_the_guide() -> None:
    guide = "`a/b.py`:\n\n```python\nx = 1\n```\n\nAnd:\n\n```python\n# What each binary carries of it\n```\n"
    assert files_of_guide(guide) == {
        "a/b.py": "x = 1\n",
        "src/python/projects/BUILD": "# What each binary carries of it\n",
    }


def test_a_guide_without_files_is_an_error() -> None:
    with pytest.raises(CaseError, match="has no files"):
        files_of_guide("# Add a project\n")
