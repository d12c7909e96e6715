"""The demo of a project without time and key, whose answers have seven columns."""

import json
from pathlib import Path

from support.demos import run_demo
from support.processes import nothing_survives

from athanor.home import Home

_SPECIES = ("Adelie", "Chinstrap", "Gentoo")


def test_the_demo_takes_the_project_from_its_table_to_answered_calls(tmp_path: Path) -> None:
    with nothing_survives():
        output, _ = run_demo(Home(tmp_path / "home"), "penguins", "--json")
    result = json.loads(output)
    assert (result["snapshot"]["rows_in"], result["snapshot"]["rows_out"]) == (344, 342)
    assert result["metrics"]["accuracy"] > 0.95 > result["baseline"]["accuracy"]
    assert result["release"]["semantic_version"] == "1.0.0"
    assert result["calls"]["rest_agrees"] is True
    for row in result["calls"]["rows"]:
        probabilities = [row["answer"][f"{name.lower()}_probability"] for name in _SPECIES]
        assert abs(sum(probabilities) - 1) < 1e-9
        assert row["answer"]["species"] == _SPECIES[probabilities.index(max(probabilities))] == row["outcome"]
        assert {row["answer"][f"may_be_{name.lower()}"] for name in _SPECIES} <= {True, False}
