"""Selection and runs of a change, and the output when the effect is unknown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ci.affected import main
from ci.conftest import Repository

ALL_TESTS = ["tests/core_test.py", "tests/door_test.py"]


def plan(repository: Repository, capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """Output of the dry run for machines."""
    assert main([*arguments, "--dry-run", "--json"], repository.root) == 0
    parsed: dict[str, Any] = json.loads(capsys.readouterr().out)
    return parsed


@pytest.mark.parametrize(
    ("path", "tests", "packages"),
    [
        ("src/core.py", ALL_TESTS, ["src:binary"]),
        ("src/door.py", ["tests/door_test.py"], ["src:binary"]),
        ("tests/core_test.py", ["tests/core_test.py"], []),
        ("tests/rows/a.json", ["tests/door_test.py"], []),
        ("README.md", [], []),
        ("docs/guide.md", [], []),
    ],
)
def test_an_edit_selects_what_depends_on_it(
    path: str, tests: list[str], packages: list[str], repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    base = repository.git("rev-parse", "main").strip()
    repository.write(path, "changed")
    expected = {"base": base, "everything": False, "reason": None, "whole": [], "tests": tests, "packages": packages}
    assert plan(repository, capsys) == expected
    repository.commit()
    assert plan(repository, capsys, "--since", "main") == expected


def test_later_commits_of_the_trunk_are_left_out(repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    repository.write("tests/core_test.py", "ours")
    repository.commit()
    repository.git("checkout", "--quiet", "main")
    repository.write("src/door.py", "theirs")
    repository.commit()
    repository.git("checkout", "--quiet", "topic")
    assert plan(repository, capsys)["tests"] == ["tests/core_test.py"]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("pants.toml", "pants.toml configures Pants: lint, check, test, package everything"),
        (
            "pants-plugins/ours/rules.py",
            "pants-plugins/ours/rules.py is part of Pants: lint, check, test, package",
        ),
        ("data.bin", "no target owns data.bin"),
        ("new/thing.csv", "no target owns new/thing.csv"),
    ],
)
def test_an_edit_whose_effect_pants_cannot_see_selects_everything(
    path: str, reason: str, repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    repository.write(path, "changed")
    found = plan(repository, capsys)
    assert found["everything"] is True
    assert found["reason"].startswith(reason)
    assert (found["tests"], found["packages"]) == (ALL_TESTS, ["src:binary"])


def test_configuration_of_a_goal_selects_everything_in_it(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    repository.write("mypy.ini", "changed")
    repository.write("tests/core_test.py", "changed")
    found = plan(repository, capsys)
    assert (found["everything"], found["whole"], found["tests"]) == (False, ["check"], ["tests/core_test.py"])


def test_a_brief_plan_asks_pants_for_no_names_of_whole_goals(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    repository.write("pytest.ini", "changed")
    repository.write("src/door.py", "changed")
    found = plan(repository, capsys, "--brief")
    assert (found["tests"], found["packages"]) == (["::"], ["src:binary"])
    repository.write("pants.toml", "changed")
    repository.write("targets.json", "no JSON")  # Pants can answer no question
    found = plan(repository, capsys, "--brief")
    assert (found["tests"], found["packages"]) == (["::"], ["::"])


def _gather(repository: Repository) -> str:
    """Lets one target stand for all tests, as Pants does, and returns the commit in which it does."""
    targets = json.loads((repository.root / "targets.json").read_text())
    made = [name for name in targets if targets[name]["kind"] == ["python_test"]]
    targets["tests:tests"] = {"kind": ["python_tests"], "sources": ["tests/*_test.py"], "dependencies": made}
    repository.write("targets.json", json.dumps(targets))
    return repository.commit()


def test_a_generator_does_not_select_its_whole_folder(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    base = _gather(repository)
    repository.write("src/door.py", "changed")
    assert plan(repository, capsys, "--since", base)["tests"] == ["tests/door_test.py"]
    assert main(["--since", base, "--only", "test"], repository.root) == 0
    assert repository.ran() == ["test ['src:binary', 'src:door', 'tests:door']"]


def test_a_deleted_test_does_not_select_its_neighbours(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    base = _gather(repository)
    (repository.root / "tests/core_test.py").unlink()
    assert plan(repository, capsys, "--since", base)["tests"] == []


def test_a_deleted_fixture_selects_its_readers(repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    (repository.root / "tests/rows/a.json").unlink()
    assert plan(repository, capsys)["tests"] == ["tests/door_test.py"]
    assert len(repository.git("worktree", "list").splitlines()) == 1


def test_a_renamed_module_selects_users_of_its_old_name(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    targets = json.loads((repository.root / "targets.json").read_text())
    del targets["src:core"]
    for target in targets.values():
        target["dependencies"] = [name for name in target["dependencies"] if name != "src:core"]
    targets["src:heart"] = {"kind": ["python_source"], "sources": ["src/heart.py"], "dependencies": []}
    targets["src:listed"] = {"kind": ["files"], "sources": ["targets.json"], "dependencies": []}
    repository.write("targets.json", json.dumps(targets))
    repository.git("mv", "src/core.py", "src/heart.py")
    assert plan(repository, capsys)["tests"] == ALL_TESTS


def _nest(repository: Repository) -> None:
    """Moves the targets of src one folder down on the trunk, and sets defaults for them in src itself."""
    targets = (repository.root / "targets.json").read_text().replace('"src:', '"src/a:')
    repository.git("checkout", "--quiet", "main")
    repository.write("targets.json", targets)
    repository.write("src/BUILD", "__defaults__({})")
    repository.commit()
    repository.git("checkout", "--quiet", "-b", "other")


def test_defaults_of_a_folder_select_all_below_it(repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    _nest(repository)
    repository.write("src/BUILD", "")
    assert plan(repository, capsys)["packages"] == ["src/a:binary"]


def test_deleted_defaults_select_all_below_them(repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    _nest(repository)
    (repository.root / "src/BUILD").unlink()
    assert plan(repository, capsys)["packages"] == ["src/a:binary"]


def test_a_build_file_without_defaults_selects_its_own_targets(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    _nest(repository)
    repository.write("new/BUILD", "__defaults__({})")
    repository.write("tests/BUILD", "changed")
    found = plan(repository, capsys)
    assert (found["tests"], found["packages"]) == (ALL_TESTS, [])


@pytest.mark.parametrize("on_github", [False, True])
def test_a_lost_base_runs_everything_and_says_so(
    on_github: bool, repository: Repository, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    if on_github:
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert main(["--since", "0" * 40], repository.root) == 0
    said = capsys.readouterr().err
    assert f"WARNING: the base is unknown, so everything runs: '{'0' * 40}' is not in this history" in said
    assert ("::warning title=Base not found::" in said) == on_github
    assert repository.ran() == [f"{goal} ['::']" for goal in ("lint", "check", "test", "package")]


def test_a_shallow_clone_has_lost_its_base(
    repository: Repository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = repository.git("rev-parse", "main").strip()
    repository.write("src/door.py", "changed")
    repository.commit()
    repository.git("clone", "--quiet", "--depth=1", f"file://{repository.root}", str(tmp_path / "shallow"))
    found = plan(Repository(tmp_path / "shallow", repository.log), capsys, "--since", base)
    assert (found["everything"], found["base"]) == (True, None)


def test_goals_run_on_what_is_affected(repository: Repository) -> None:
    repository.write("tests/core_test.py", "changed")
    assert main([], repository.root) == 0
    assert repository.ran() == [f"{goal} ['tests:core']" for goal in ("lint", "check", "test", "package")]


def test_nothing_runs_for_a_document(repository: Repository) -> None:
    repository.write("README.md", "changed")
    assert main([], repository.root) == 0
    assert repository.ran() == []


def test_a_failing_goal_fails_the_run_and_stops_no_other(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    repository.write("check", "")
    assert main(["--all", "--only", "check", "--only", "package"], repository.root) == 1
    assert repository.ran() == ["check ['::']", "package ['::']"]
    assert capsys.readouterr().out.endswith("affected: failed: check\n")


def test_images_are_left_out_where_no_engine_answers(
    repository: Repository, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ci.affected._has_engine", lambda: False)
    assert main(["--all", "--only", "package"], repository.root) == 0
    assert "images are left out, since no container engine answers" in capsys.readouterr().out
    assert repository.ran() == ["package ['::'] --tag=-image"]


def test_a_pants_error_fails_the_run(repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    repository.write("targets.json", "no JSON")
    assert main([], repository.root) == 1
    assert "affected: ./pants --changed-diffspec=" in capsys.readouterr().err
