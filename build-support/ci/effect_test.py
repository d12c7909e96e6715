"""Selection of a changed lock: dependents of the affected requirements, and tests that read the lock."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ci import effect
from ci.conftest import Repository
from ci.plan import Plan, plan_since
from ci.sample_lock import HASH, LOCK, REQUIREMENTS
from ci.table import Resolve

RESOLVE = Resolve(
    "3rdparty/some.lock",
    "3rdparty/requirements.txt",
    "3rdparty:requirements",
    ("3rdparty:locks", "tests:digest"),
    frozenset({"beta_lib"}),
)
CORE, DOOR = "tests/core_test.py", "tests/door_test.py"
READERS = ("tests/digest_test.py", "tests/lock_test.py")


def _target(kind: str, *dependencies: str, source: str = "") -> dict[str, Any]:
    return {"kind": [kind], "sources": [source] if source else [], "dependencies": list(dependencies)}


@pytest.fixture(autouse=True)
def _requirements(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """Core requires alpha; beta_lib compiles the door's proto. As in Pants, a requirement depends on both files."""
    monkeypatch.setattr(effect, "RESOLVES", (RESOLVE,))
    files = {RESOLVE.lock: LOCK, RESOLVE.requirements: REQUIREMENTS, "src/a.proto": "", **dict.fromkeys(READERS, "")}
    targets = json.loads((repository.root / "targets.json").read_text())
    targets |= {
        "3rdparty:lockfile": _target("_lockfile", source=RESOLVE.lock),
        "3rdparty:file": _target("_requirements_file", source=RESOLVE.requirements),
        "3rdparty:locks": _target("files", source="3rdparty/*.[lt]*"),
        "3rdparty:lock": _target("resource", source=RESOLVE.lock),
        "src:proto": _target("protobuf_source", source="src/a.proto"),
        "tests:lock": _target("python_test", "3rdparty:locks", source="tests/lock_test.py"),
        "tests:digest": _target("python_test", "src:core", source="tests/digest_test.py"),
    }
    for name in ("alpha", "beta_lib"):
        targets[f"3rdparty:requirements#{name}"] = _target("python_requirement", "3rdparty:lockfile", "3rdparty:file")
    targets["src:core"]["dependencies"] += ["3rdparty:requirements#alpha", "3rdparty:lock"]
    targets["src:door"]["dependencies"] = ["src:proto"]
    repository.git("checkout", "--quiet", "main")
    for path, text in {**files, "targets.json": json.dumps(targets)}.items():
        repository.write(path, text)
    repository.commit()
    repository.git("checkout", "--quiet", "-B", "topic")


def plan(repository: Repository, since: str | None = None) -> Plan:
    return plan_since(repository.root, since)


@pytest.mark.parametrize(
    ("old", "new", "tests"),
    [
        pytest.param("# Made by", "# Remade by", READERS, id="comment"),
        pytest.param("alpha==1.0", "alpha==1.1", (CORE, *READERS), id="of a requirement"),
        pytest.param("delta==1.0", "delta==1.1", (DOOR, *READERS), id="of what compiles protos"),
        pytest.param("gamma==1.0", "gamma==1.1", (CORE, DOOR, *READERS), id="of both"),
        pytest.param("delta==", f"new==1 \\\n{HASH}\n    # via -r x.txt\ndelta==", READERS, id="of a library more"),
    ],
)
def test_an_entry_selects_by_the_requirements_that_need_it(
    old: str, new: str, tests: tuple[str, ...], repository: Repository
) -> None:
    repository.write(RESOLVE.lock, LOCK.replace(old, new))
    assert plan(repository).tests == tuple(sorted(tests))
    repository.commit()
    assert plan(repository).tests == tuple(sorted(tests))


def test_a_line_of_the_requirements_selects_its_dependents(repository: Repository) -> None:
    repository.write(RESOLVE.requirements, REQUIREMENTS.replace("alpha<3", "alpha<4"))
    assert plan(repository).tests == tuple(sorted((CORE, *READERS)))


def test_another_edit_beside_the_lock_selects_its_own_dependents(repository: Repository) -> None:
    repository.write(RESOLVE.lock, LOCK + "# edited\n")
    repository.write("src/door.py", "changed")
    found = plan(repository)
    assert (found.tests, found.packages) == (tuple(sorted((DOOR, *READERS))), ("src:binary",))
    assert found.reasons == ("3rdparty/some.lock changed in no entry: affects no requirement",)


def test_a_removed_requirement_selects_what_depended_on_it(repository: Repository) -> None:
    targets = json.loads((repository.root / "targets.json").read_text())
    del targets["3rdparty:requirements#alpha"]
    targets["src:core"]["dependencies"].remove("3rdparty:requirements#alpha")
    targets["3rdparty:targets"] = _target("files", source="targets.json")
    repository.write("targets.json", json.dumps(targets))
    repository.write(RESOLVE.requirements, "beta_lib[extra] ; sys_platform == 'linux'\n")
    assert plan(repository).tests == tuple(sorted((CORE, *READERS)))
    assert len(repository.git("worktree", "list").splitlines()) == 1


def test_a_lock_that_cannot_be_compared_runs_everything(repository: Repository) -> None:
    repository.write(RESOLVE.lock, "alpha>=1\n")
    found = plan(repository)
    assert found.everything
    assert found.reasons == ("3rdparty/some.lock cannot be compared: unknown line 'alpha>=1'",)


def test_the_users_git_stays_as_it_was(repository: Repository) -> None:
    repository.write(RESOLVE.lock, LOCK.replace("alpha==1.0", "alpha==1.1"))
    repository.git("add", RESOLVE.lock)
    repository.write("src/core.py", "changed")
    repository.write("tests/rows/new.json", "")
    (repository.root / "tests/rows/a.json").unlink()
    questions = (("status", "--porcelain"), ("ls-files", "--stage"), ("for-each-ref",), ("reflog",), ("stash", "list"))
    before = [repository.git(*question) for question in questions]
    assert {CORE, DOOR} < set(plan(repository).tests)
    assert [repository.git(*question) for question in questions] == before


def test_a_shallow_clone_that_holds_its_base_compares_too(repository: Repository, tmp_path: Path) -> None:
    base = repository.git("rev-parse", "main").strip()
    repository.write(RESOLVE.lock, LOCK.replace("alpha==1.0", "alpha==1.1"))
    repository.commit()
    repository.git("clone", "--quiet", "--depth=2", f"file://{repository.root}", str(tmp_path / "shallow"))
    assert plan(Repository(tmp_path / "shallow", repository.log), base).tests == tuple(sorted((CORE, *READERS)))
