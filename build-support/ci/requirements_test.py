"""A changed lock affects the requirements whose closure holds what changed, and no other."""

from __future__ import annotations

import pytest

from ci.requirements import Change, UnreadableLockError, find_change, read_lock
from ci.sample_lock import ENTRIES, FILE, HASH, LOCK, REQUIREMENTS


def change(lock: str = LOCK, requirements: str = REQUIREMENTS) -> Change:
    return find_change((LOCK, REQUIREMENTS), (lock, requirements))


def nothing() -> Change:
    return Change(frozenset(), frozenset(), frozenset())


@pytest.mark.parametrize(
    "lock",
    [
        LOCK,
        "# Another header\n" + LOCK,
        LOCK + "# edited\n",
        LOCK.replace("# via\n", "# via\n    #   beta-lib\n"),
        "".join(reversed(ENTRIES)),
    ],
    ids=["equal", "header", "comment", "annotation", "order"],
)
def test_comments_and_order_affect_nothing(lock: str) -> None:
    assert change(lock) == nothing()


@pytest.mark.parametrize(
    ("old", "new", "entry", "affected"),
    [
        pytest.param("alpha==1.0", "alpha==1.1", "alpha", {"alpha"}, id="version"),
        pytest.param("alpha==1.0", "alpha==1.0 ; sys_platform == 'linux'", "alpha", {"alpha"}, id="marker"),
        pytest.param(f"{HASH} \\\n", "", "beta-lib", {"beta_lib"}, id="hash"),
        pytest.param("delta==1.0", "delta==1.1", "delta", {"beta_lib"}, id="of one closure"),
        pytest.param("gamma==2.0", "gamma==2.1", "gamma", {"alpha", "beta_lib"}, id="of two closures"),
    ],
)
def test_an_entry_affects_the_requirements_that_need_it(old: str, new: str, entry: str, affected: set[str]) -> None:
    assert LOCK.count(old) == 1
    assert change(LOCK.replace(old, new)) == Change(frozenset({entry}), frozenset(affected), frozenset())


def test_a_hash_more_changes_its_entry_alone() -> None:
    more = LOCK.replace(f"alpha==1.0 \\\n{HASH}", f"alpha==1.0 \\\n{HASH} \\\n{HASH[:-1]}1")
    assert change(more) == Change(frozenset({"alpha"}), frozenset({"alpha"}), frozenset())


def test_an_entry_that_goes_affects_what_required_it_before() -> None:
    assert change(LOCK.replace(ENTRIES[2], "")).affected == {"beta_lib"}


def test_an_entry_more_affects_what_requires_it_now() -> None:
    more = LOCK + f"epsilon==1.0 \\\n{HASH}\n    # via gamma\n"
    assert change(more) == Change(frozenset({"epsilon"}), frozenset({"alpha", "beta_lib"}), frozenset())


def test_a_requirement_more_affects_itself_alone() -> None:
    more = LOCK + f"zeta==1.0 \\\n{HASH}\n    # via {FILE}\n"
    found = change(more, REQUIREMENTS + "zeta\n")
    assert found == Change(frozenset({"zeta"}), frozenset({"zeta"}), frozenset())


@pytest.mark.parametrize("line", ["alpha<4", "alpha[more]<3", "alpha<3 ; python_version > '3'"])
def test_a_line_of_the_requirements_affects_its_name(line: str) -> None:
    assert change(requirements=REQUIREMENTS.replace("alpha<3", line)).affected == {"alpha"}


def test_comments_of_the_requirements_affect_nothing() -> None:
    assert change(requirements="beta_lib[extra] ; sys_platform == 'linux' # why\n\n# moved\nalpha<3\n") == nothing()


def test_a_requirement_that_goes_is_named_apart() -> None:
    found = change(requirements="beta_lib[extra] ; sys_platform == 'linux'\n")
    assert (found.affected, found.removed) == (frozenset(), frozenset({"alpha"}))


def test_a_circle_of_distributions_ends() -> None:
    circle = LOCK.replace("# via beta-lib\n", "# via\n    #   beta-lib\n    #   delta\n")
    assert find_change((circle, REQUIREMENTS), (LOCK.replace("delta==1.0", "delta==2.0"), REQUIREMENTS)).affected == {
        "beta_lib"
    }


@pytest.mark.parametrize(
    "text",
    [
        "alpha>=1.0 \\\n" + HASH,
        "--index-url=somewhere\n",
        f"alpha==1.0 \\\n{HASH}\n",
        f"alpha==1.0\n    # via {FILE}\n",
        '{"locked_resolves": []}',
        "<<<<<<< ours\n",
    ],
    ids=["range", "option", "no dependent", "no hash", "Pex's form", "conflict"],
)
def test_a_lock_in_another_form_is_not_compared(text: str) -> None:
    with pytest.raises(UnreadableLockError):
        read_lock(text)
