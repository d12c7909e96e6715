"""`athanor show`: everything that is in force of a recipe, for people and for programs."""

import json

import pytest

from athanor.cli.training.showing import show_recipe
from athanor.errors import NotFoundError


def _show(capsys: pytest.CaptureFixture[str]) -> str:
    show_recipe("delays", json=False)
    return " ".join(capsys.readouterr().out.split())


def test_people_see_what_is_declared_and_what_is_a_default(capsys: pytest.CaptureFixture[str]) -> None:
    shown = _show(capsys)
    for words in (
        "task │ binary",
        "split │ From(instant 2013-10-01T00:00:00+00:00)",
        "folds │ 2, each later than what it is fitted on (default)",
        "scoring │ average_precision (default)",
        "refit │ no (default)",
        "learning_rate 0.05, 0.1",
        "metric roc_auc, by 0.03",
    ):
        assert words in shown
    assert "trials │ 3 │" in shown


def test_programs_see_the_same_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    show_recipe("delays", json=True)
    found = json.loads(capsys.readouterr().out)
    assert (found["project"], found["task"], found["trials"], found["refit"]) == ("delays", "binary", 3, False)
    assert found["defaults"] == ["coverage", "folds", "scoring", "refit"]


def test_a_project_that_is_not_there_is_named() -> None:
    with pytest.raises(NotFoundError, match="nowhere"):
        show_recipe("nowhere", json=True)
