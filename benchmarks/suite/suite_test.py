"""Every benchmark runs, whatever happens to the others, and the result says which goals are reached."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from suite.benchmarks import BENCHMARKS, LOGS
from suite.goals import Comparison, Goal, to_dicts
from suite.main import main
from suite.pants import inner_daemon

SPEED = Goal("speed against a peer", 3.0, 2.0, Comparison.AT_LEAST)
TIME = Goal("time from an edit to its tests", 50.0, 45.0, Comparison.AT_MOST, "s")
# Fails for the benchmark that FAIL names, and reports no goals for the one that SILENT names.
PANTS = """\
    #!{python}
    import json, os, sys
    target, report = sys.argv[2], sys.argv[-1].removeprefix("--json=")
    with open("calls", "a") as calls:
        print(*sys.argv[1:-1], file=calls)
    if target == os.environ.get("FAIL"):
        sys.exit("RuntimeError: h2load is not installed; on Debian it comes with `apt-get install nghttp2-client`")
    if target != os.environ.get("SILENT"):
        with open(report, "w") as file:
            json.dump({{"goals": json.loads(os.environ["GOALS"])}}, file)
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose Pants writes the goals at once."""
    pants = tmp_path / "pants"
    pants.write_text(dedent(PANTS).format(python=sys.executable))
    pants.chmod(0o755)
    reports(monkeypatch, SPEED)
    return tmp_path


def reports(monkeypatch: pytest.MonkeyPatch, *goals: Goal) -> None:
    """Each benchmark reports these goals."""
    monkeypatch.setenv("GOALS", json.dumps(to_dicts(goals)))


def run(root: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit status and result for machines."""
    status = main([*arguments, "--json"], root)
    return status, json.loads(capsys.readouterr().out)["benchmarks"]


def test_every_benchmark_runs_once(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, found = run(root, capsys, "--quick")
    assert status == 0
    assert list(found) == ["data", "training", "serving", "many", "resilience", "ci"]
    calls = [f"run {benchmark.target} -- --quick" for benchmark in BENCHMARKS]
    assert (root / "calls").read_text().splitlines() == calls


def test_a_whole_run_is_not_quick(root: Path) -> None:
    assert main([], root) == 0
    calls = (root / "calls").read_text()
    assert "--quick" not in calls
    assert "run benchmarks/ci/comparison/main.py -- --times\n" in calls


def test_one_benchmark_can_be_chosen(root: Path) -> None:
    assert main(["--only", "serving", "--quick", "--home", str(root / "home")], root) == 0
    assert (root / "calls").read_text() == f"run benchmarks/serving -- --quick --home={root / 'home'}\n"


def test_a_failure_is_reported_and_the_others_still_run(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAIL", "benchmarks/data")
    status, found = run(root, capsys)
    assert status == 1
    assert "apt-get install nghttp2-client" in found["data"]["failure"]
    assert found["data"]["goals"] == []
    assert [name for name in found if found[name]["goals"]] == ["training", "serving", "many", "resilience", "ci"]
    assert "h2load is not installed" in (root / LOGS / "data.log").read_text()
    main([], root)
    shown = capsys.readouterr()
    assert "could not run" in shown.out
    assert "data ended with 1:\nRuntimeError: h2load is not installed" in shown.err
    assert "5 of 5 goals reached; could not run: data" in shown.err


def test_a_benchmark_without_goals_could_not_run(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SILENT", "benchmarks/serving")
    status, found = run(root, capsys)
    assert status == 1
    assert found["serving"]["failure"].startswith("reported no goals")


def test_a_missed_goal_is_shown_as_missed(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    reports(monkeypatch, SPEED, TIME)
    assert main(["--only", "ci"], root) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if "ci " in line]
    assert [cell.strip() for cell in rows[0].split("│")[3:6]] == ["3.00", "at least 2", "reached"]
    assert [cell.strip() for cell in rows[1].split("│")[3:6]] == ["50.00 s", "at most 45 s", "missed"]


@pytest.mark.parametrize(("goals", "status"), [([SPEED], 0), ([SPEED, TIME], 3)])
def test_strict_fails_for_a_missed_goal(
    goals: list[Goal], status: int, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports(monkeypatch, *goals)
    assert main(["--strict"], root) == status


def test_each_run_is_appended_and_compared(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = root / "folder/history.jsonl"
    arguments = ["--only", "data", "--quick", "--history", str(file)]
    assert main(arguments, root) == 0
    assert main(arguments, root) == 0
    assert len(file.read_text().splitlines()) == 2
    tables = capsys.readouterr().out.split("benchmark ")[1:]
    assert ["+0%" in table for table in tables] == [False, True]


def test_a_damaged_history_stops_before_anything_runs(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "history.jsonl").write_text('{"date": "2026-\n')
    assert main(["--history", str(root / "history.jsonl")], root) == 2
    assert "line 1 is not a run" in capsys.readouterr().err
    assert not (root / "calls").exists()


def test_the_inner_daemon_is_stopped(tmp_path: Path) -> None:
    """As Pants does, a process writes its id below the folder that the environment names."""
    with subprocess.Popen(["sleep", "60"]) as daemon:
        with inner_daemon(tmp_path) as environment:
            pid = Path(environment["PANTS_SUBPROCESSDIR"], "0123456789ab/pantsd/pid")
            pid.parent.mkdir(parents=True)
            pid.write_text(str(daemon.pid))
        assert daemon.wait(10) == -signal.SIGTERM
