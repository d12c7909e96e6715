"""Trains once on flights that never were, and prints the identity of what it made: `home engine jobs`.

Engine `ray` joins the cluster whose address, and file with its token, stand behind that, if any.

With all that could make a difference: three algorithms, target encodings, drawn parameters, a calibration.
"""

import os
import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scipy.stats import loguniform
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import TargetEncoder
from support.flights import make_columns
from support.pipelines import make_pipeline_over, make_recipe
from support.snapshots import commit_columns

from athanor.cli.shared.clusters import start_ray
from athanor.home import Home
from athanor.system.code.import_path import protect_imports
from athanor.training.candidates import Candidate
from athanor.training.recipe import Recipe
from athanor.training.splits import From
from athanor.training.train.release_build import TrainingOptions
from athanor.training.train.train import train
from projects.delays.model import MODEL


def _make_trees(classifier: Any, seed: int) -> Any:
    features = MODEL.features
    encoder = TargetEncoder(cv=StratifiedKFold(shuffle=True, random_state=seed))
    return make_pipeline(
        ColumnTransformer(
            [
                ("numeric", SimpleImputer(), features.position(*features.numeric)),
                ("categorical", encoder, features.position(*features.categorical)),
            ]
        ),
        classifier,
    )


def make_large_recipe(seed: int) -> Recipe:
    forest = RandomForestClassifier(n_estimators=20, class_weight="balanced", random_state=seed)
    boosting = HistGradientBoostingClassifier(max_iter=20, early_stopping=False, random_state=seed)
    return make_recipe(
        split=From(datetime(2013, 3, 1, tzinfo=UTC)),
        candidates=(
            Candidate("linear", make_pipeline_over("distance"), {"logisticregression__C": loguniform(0.01, 10)}),
            Candidate(
                "forest",
                _make_trees(forest, seed),
                {"randomforestclassifier__min_samples_leaf": (1, 5, 20)},
            ),
            Candidate(
                "boosting",
                _make_trees(boosting, seed),
                {"histgradientboostingclassifier__learning_rate": loguniform(0.05, 0.3)},
            ),
        ),
        gates=(),
        trials=6,
        folds=3,
        seed=seed,
    )


def main() -> None:
    # As a command does.
    protect_imports()
    home, engine, jobs, cluster = Home(Path(sys.argv[1])), sys.argv[2], int(sys.argv[3]), sys.argv[4:]
    snapshot, _ = commit_columns(MODEL.contract, make_columns(3_000), home.datasets)
    recipe = make_large_recipe(int(os.environ.get("ATHANOR_TEST_SEED", "0")))
    with ExitStack() as stack:
        if engine == "ray":
            start_ray(stack, cluster[0] if cluster else None, Path(cluster[1]) if cluster else None, home)
        options = TrainingOptions(engine="ray" if engine == "ray" else "local", jobs=jobs)
        release = train(recipe, snapshot, home, options=options).release
    sys.stdout.write(release.identity.model_dump_json() + "\n")


if __name__ == "__main__":
    main()
