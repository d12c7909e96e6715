"""A start over its budget is reported with its slowest imports."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from binaries.budgets import FILE, read
from binaries.starts import Runner, Start, costliest, find_costliest_imports, measure_help, measure_ready, report

BUDGET = read(FILE.read_text())["client"]
CLIENT = Path("client.pex").absolute()


def test_both_starts_of_a_binary_are_measured_against_its_budget(tmp_path: Path) -> None:
    # Budgets that any machine keeps: how fast it is, no test says.
    patient = dataclasses.replace(BUDGET, cold_s=600, warm_s=600)
    cold, warm = measure_help(CLIENT, patient, Runner(tmp_path), runs=2)
    assert (cold.kind, warm.kind) == ("--help cold", "--help warm")
    assert 0 < warm.seconds < cold.seconds
    assert report([cold, warm], {}) == 0


def test_a_start_over_its_budget_says_no_and_names_the_costliest_imports(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runner = Runner(tmp_path)
    impatient = dataclasses.replace(BUDGET, cold_s=0, warm_s=0)
    starts = list(measure_help(CLIENT, impatient, runner, runs=1))
    imports = find_costliest_imports(CLIENT, "athanor.cli.client.app", runner)
    assert report(starts, {"client": imports}) == 3
    out = capsys.readouterr().out
    assert out.count("OVER") == 2
    assert "client: costliest imports of --help: " in out
    assert len(imports) == 5


def test_the_costliest_imports_are_those_that_took_longest_themselves() -> None:
    text = "import time: self [us] | cumulative | imported package\nimport time:       200 |        200 |   a.b\n"
    assert costliest(text + "import time:      3000 |       3200 | a\nsomething else\n") == ["a 3 ms", "a.b 0 ms"]


def test_what_has_no_service_is_never_ready(tmp_path: Path) -> None:
    assert list(measure_ready(tmp_path, BUDGET, Runner(tmp_path), runs=1, home=None)) == []


def test_a_binary_that_fails_is_not_a_fast_one(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="ended with 2"):
        Runner(tmp_path).time([CLIENT, "--no-such-option"])


def test_a_start_prints_what_it_took_and_may_take() -> None:
    assert str(Start("client", "--help warm", 0.25, 0.5)) == "client     --help warm     0.25 s of 0.5 s  fine"
