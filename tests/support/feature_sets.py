"""Releases with features of their own: each is a logistic regression that was fitted to generated flights."""

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
from google.protobuf import json_format
from google.protobuf.message_factory import GetMessageClass
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from support.flights import make_columns
from support.releases import make_files, make_release

from athanor.contract.columns import Columns
from athanor.contract.contract import Contract
from athanor.contract.descriptors import to_descriptors
from athanor.contract.messages import to_messages
from athanor.data.profiles.profile import profile
from athanor.features.arrays import Arrays, xp
from athanor.features.features import Features, Model
from athanor.features.numbers import bins, clip, cyclic, is_missing, ratio
from athanor.features.texts import join, look_up
from athanor.features.times import hour_of_day, month, to_local_time, weekday
from athanor.release.answers import TOLERANCE
from athanor.release.files import Release
from athanor.training.compile.model import compile_model
from projects.delays.model import MODEL

_ROWS: Final = 400
_REFERENCE: Final = slice(20)


def _by_clock(columns: Arrays) -> Arrays:
    departure = to_local_time(columns["scheduled_departure"], "America/New_York")
    sine, cosine = cyclic(hour_of_day(departure), 24)
    return {"sine": sine, "cosine": cosine, "weekday": weekday(departure), "carrier": columns["carrier"]}


def _by_weather(columns: Arrays) -> Arrays:
    sine, cosine = cyclic(columns["wind_direction"], 360)
    return {
        "temperature": clip(columns["temperature"], 0, 100),
        "spread": columns["temperature"] - columns["dew_point"],
        "east": sine * columns["wind_speed"],
        "north": cosine * columns["wind_speed"],
    }


def _by_seats(columns: Arrays) -> Arrays:
    seats = columns["aircraft_seats"]
    return {"miles_a_seat": ratio(columns["distance"], seats), "is_unknown": is_missing(seats)}


def _by_route(columns: Arrays) -> Arrays:
    return {
        "distance": bins(columns["distance"], [500, 1_000, 2_500, 6_000]),
        "wind": columns["wind_speed"],
        "route": join(columns["origin"], columns["destination"], separator="-"),
    }


def _by_log_distance(columns: Arrays) -> Arrays:
    return {"log_distance": xp.log1p(columns["distance"]), "origin": columns["origin"]}


def _by_season(columns: Arrays) -> Arrays:
    fleet = look_up(columns["carrier"], {"AA": 950, "B6": 290, "DL": 980, "UA": 970})
    at = columns["scheduled_departure"]
    return {"month": month(at), "arrival": columns["scheduled_arrival_minute"], "fleet": fleet, "gate": columns["gate"]}


def _by_all(columns: Arrays) -> Arrays:
    return {**MODEL.features.compute(columns), "has_no_gate": is_missing(columns["gate"])}


USUAL: Final = (
    Features(("distance",), (), lambda columns: {"distance": columns["distance"]}),
    Features(("sine", "cosine", "weekday"), ("carrier",), _by_clock),
    Features(("temperature", "spread", "east", "north"), (), _by_weather),
)
"""Of columns that the contract of the tests has."""
FAR: Final = (
    Features(("log_distance",), ("origin",), _by_log_distance),
    Features(("miles_a_seat", "is_unknown"), (), _by_seats),
    Features(("distance", "wind"), ("route",), _by_route),
)
"""Also of columns that the contract of the tests has; the distance may be longer."""
WITH_GATE: Final = (
    Features(("distance",), ("gate",), lambda columns: {name: columns[name] for name in ("distance", "gate")}),
    Features(("month", "arrival", "fleet"), ("gate",), _by_season),
    Features((*MODEL.features.numeric, "has_no_gate"), MODEL.features.categorical, _by_all),
)
"""Of a column more, "gate"."""


def make_release_by(folder: Path, contract: Contract, features: Features) -> Release:
    """A release of a contract with some features."""
    model, columns = Model(contract, features), _make_columns(contract)
    inputs = _compute(features, columns)
    pipeline = _fit(features, inputs, columns["arrived_late"])
    reference = {name: values[_REFERENCE] for name, values in columns.items()}
    rows = to_messages(contract.columns, reference, GetMessageClass(contract.row))
    answers = {
        "rows": [json_format.MessageToDict(row, preserving_proto_field_name=True) for row in rows],
        "answers": {contract.prediction.name: pipeline.predict_proba(inputs[_REFERENCE])[:, 1].tolist()},
        "tolerance": TOLERANCE,
    }
    files = make_files(
        contract=json.dumps(contract.wire, sort_keys=True).encode(),
        model=compile_model(model, pipeline),
        reference_profile=profile(contract.dataset_columns, reference).to_json().encode(),
        reference_rows=json.dumps(answers).encode(),
    )
    identity = {"contract": contract.fingerprint, "features": model.features_digest, "algorithm": "logistic regression"}
    return make_release(folder, files, **identity, descriptors=to_descriptors(contract))


def _make_columns(contract: Contract) -> dict[str, NDArray[Any]]:
    columns = make_columns(_ROWS)
    if any(column.name == "gate" for column in contract.columns):
        # Far flights leave from other gates, and one in five has none yet.
        gates = np.where(columns["distance"] > 3_000, "C9", "A1")
        columns["gate"] = np.where(np.arange(_ROWS) % 5 == 0, "", gates).astype(object)
    return columns


def _compute(features: Features, columns: Columns) -> NDArray[np.object_]:
    """The inputs of a pipeline, operation by operation, so that the graph is compared with something else."""
    computed = features.eager(columns)
    return np.column_stack([computed[name].astype(object) for name in (*features.numeric, *features.categorical)])


def _fit(features: Features, inputs: NDArray[np.object_], labels: NDArray[Any]) -> Pipeline:
    numeric, categorical = features.position(*features.numeric), features.position(*features.categorical)
    prepared = ColumnTransformer(
        [
            ("numeric", make_pipeline(SimpleImputer(), StandardScaler()), numeric),
            ("categorical", OneHotEncoder(handle_unknown="ignore"), categorical),
        ]
    )
    return make_pipeline(prepared, LogisticRegression()).fit(inputs, labels)
