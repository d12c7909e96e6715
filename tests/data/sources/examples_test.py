"""The examples in the docstrings of sources."""

import doctest
from pathlib import Path

import pytest
from support.examples import find_examples, run_example

from athanor.data.sources import delimited, files, function, parquet, sql

_EXAMPLES = find_examples(delimited, files, function, parquet, sql)


@pytest.mark.parametrize("example", _EXAMPLES, ids=lambda example: example.name)
def test_the_example_runs(example: doctest.DocTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder of its own, with an empty folder `raw` to fetch into."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ORDERS_DATABASE", raising=False)
    (tmp_path / "raw").mkdir()
    run_example(example)
