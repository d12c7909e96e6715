"""A search in its own process, to be killed. It forks from a server that has imported everything."""

from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Final

import joblib
from support.flights import make_columns
from support.pipelines import make_recipe

from athanor.training.evaluation.evidence import Rows
from athanor.training.search.search import SearchResult, search
from projects.delays.model import MODEL

_FORKS: Final = get_context("forkserver")


def search_flights(folder: Path) -> SearchResult:
    """A search on synthetic flights with sixty sequential fits."""
    recipe = make_recipe(folds=20)
    rows = Rows.make(recipe.task, MODEL, make_columns(3_000))
    with joblib.parallel_config(backend="sequential"):
        return search(recipe, rows, folder)


def start(folder: Path) -> ForkServerProcess:
    """Starts it as a daemon: it ends with its parent."""
    _FORKS.set_forkserver_preload([__name__])
    process = _FORKS.Process(target=search_flights, args=(folder,), daemon=True)
    process.start()
    return process
