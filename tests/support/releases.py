"""Releases without training: a graph made by hand whose answer a line of Python knows."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from google.protobuf import json_format
from google.protobuf.message_factory import GetMessageClass
from onnx import ModelProto, TensorProto, compose, helper
from support.flights import make_columns

from athanor.contract.columns import Columns
from athanor.contract.contract import Contract
from athanor.contract.descriptors import to_descriptors
from athanor.contract.messages import to_messages
from athanor.data.profiles.profile import profile
from athanor.release.answers import TOLERANCE
from athanor.release.files import (
    CONTRACT,
    DESCRIPTORS,
    GRAPH,
    MODEL_CARD,
    REFERENCE_PROFILE,
    REFERENCE_ROWS,
    TRAINING,
    Release,
    digests,
    write_release,
)
from athanor.release.graph import ANSWERS, CATEGORICAL, NUMERIC
from athanor.release.manifest import Identity, Provenance, SplitResult
from athanor.release.record import TrainingRecord
from projects.delays.model import MODEL

MIDDLE: Final = 1_000.0
PROVENANCE: Final = Provenance(
    snapshot_version=0,
    commit="0123456789abcdef",
    is_clean=True,
    lock="1" * 64,
    pex="",
    trials=None,
    engine="local",
    threads=2,
    athanor="0.1.0",
    python="3.11.0",
    platform="Linux x86_64",
    cpu="GenuineIntel 6",
    host="nowhere",
    libraries={"numpy": "2.0.0"},
    created_at="2013-12-31T00:00:00+00:00",
)


def expected_probability(distance: float, middle: float = MIDDLE) -> float:
    """What a hand-made graph answers for a flight: the farther, the likelier; even at `middle` miles."""
    return 1 / (1 + math.exp(-(distance - middle) / 1_000))


def make_tail(middle: float = MIDDLE, output: str = ANSWERS) -> ModelProto:
    """What follows the features in a hand-made graph: it looks at the distance alone."""
    position = MODEL.features.position("distance")[0]
    nodes = [
        helper.make_node("Gather", [NUMERIC, "position"], ["distance"], axis=1),
        helper.make_node("Sub", ["distance", "middle"], ["beyond"]),
        helper.make_node("Div", ["beyond", "scale"], ["score"]),
        helper.make_node("Sigmoid", ["score"], ["late"]),
        helper.make_node("Cast", ["late"], [output], to=TensorProto.DOUBLE),
    ]
    constants = [
        helper.make_tensor("position", TensorProto.INT64, [1], [position]),
        helper.make_tensor("middle", TensorProto.FLOAT, [1], [middle]),
        helper.make_tensor("scale", TensorProto.FLOAT, [1], [1_000.0]),
    ]
    kinds = {
        NUMERIC: (TensorProto.FLOAT, MODEL.features.numeric),
        CATEGORICAL: (TensorProto.STRING, MODEL.features.categorical),
    }
    graph = helper.make_graph(
        nodes,
        "by_distance",
        [helper.make_tensor_value_info(name, kind, [None, len(names)]) for name, (kind, names) in kinds.items()],
        [helper.make_tensor_value_info(output, TensorProto.DOUBLE, [None, 1])],
        constants,
    )
    return helper.make_model(graph)


def attach(tail: ModelProto) -> bytes:
    """The graph of a model: the features of a flight, and what follows them."""
    features = ModelProto.FromString(MODEL.graph)
    tail.ir_version = features.ir_version
    del tail.opset_import[:]
    tail.opset_import.extend(features.opset_import)
    names = [output.name for output in features.graph.output]
    outputs = [*names, *(output.name for output in tail.graph.output)]
    merged = compose.merge_models(features, tail, [(name, name) for name in names], outputs=outputs)
    del merged.opset_import[:]
    merged.opset_import.extend(features.opset_import)
    listed = {
        NUMERIC: MODEL.features.numeric,
        CATEGORICAL: MODEL.features.categorical,
        ANSWERS: (MODEL.contract.prediction.name,),
    }
    helper.set_model_props(merged, {name: json.dumps(of_kind) for name, of_kind in listed.items()})
    return bytes(merged.SerializeToString(deterministic=True))


def make_graph(middle: float = MIDDLE, output: str = ANSWERS) -> bytes:
    """A graph that answers `expected_probability`."""
    return attach(make_tail(middle, output))


def make_files(middle: float = MIDDLE, **replaced: bytes | Any) -> dict[str, bytes]:
    """The files of a release, but for its manifest.

    Args:
        replaced: contents to put instead, by file name without its ending: `contract`, `model`…
    """
    columns = make_columns(20)
    expected = [expected_probability(distance, middle) for distance in columns["distance"].tolist()]
    files = make_files_of(MODEL.contract, make_graph(middle), columns, {MODEL.contract.prediction.name: expected})
    return {name: replaced.get(name.split(".")[0], content) for name, content in files.items()}


def make_files_of(
    contract: Contract, graph: bytes, columns: Columns, answers: Mapping[str, Sequence[Any]]
) -> dict[str, bytes]:
    """As `make_files`, of any contract.

    Args:
        columns: of the dataset.
        answers: of the graph to these rows, by column.
    """
    rows = to_messages(contract.columns, columns, GetMessageClass(contract.row))
    reference = {
        "rows": [json_format.MessageToDict(row, preserving_proto_field_name=True) for row in rows],
        "answers": answers,
        "tolerance": TOLERANCE,
    }
    return {
        CONTRACT: json.dumps(contract.wire, sort_keys=True).encode(),
        GRAPH: graph,
        REFERENCE_PROFILE: profile(contract.dataset_columns, columns).to_json().encode(),
        REFERENCE_ROWS: json.dumps(reference).encode(),
    }


def make_identity(files: Mapping[str, bytes], **changed: Any) -> Identity:
    values: dict[str, Any] = {
        "model": MODEL.name,
        "task": "binary",
        "contract": MODEL.contract.fingerprint,
        "snapshot": "5" * 64,
        "features": MODEL.features_digest,
        "recipe": "7" * 64,
        "split": SplitResult(
            kind="from", boundary="2013-10-01T00:00:00.000000Z", rows_trained=100, rows_evaluated=20, rows_left_out=0
        ),
        "algorithm": "by distance",
        "parameters": {"middle": MIDDLE},
        "seed": 0,
        "metrics": {"roc_auc": 0.75},
        "baseline": {"roc_auc": 0.5},
        "files": digests(files),
    }
    return Identity.model_validate({**values, **changed})


def make_release(folder: Path, files: Mapping[str, bytes] | None = None, **changed: Any) -> Release:
    """A release of the project below a folder, with some parts of its identity changed.

    Args:
        changed: `provenance`, `record` and `descriptors` as well.
    """
    files = files if files is not None else make_files()
    provenance = PROVENANCE.model_copy(update=changed.pop("provenance", {}))
    documents = {
        DESCRIPTORS: changed.pop("descriptors", to_descriptors(MODEL.contract)),
        MODEL_CARD: b"<!doctype html><title>delays</title>\n",
        TRAINING: make_record(**changed.pop("record", {})).model_dump_json().encode(),
    }
    return write_release(folder, make_identity(files, **changed), provenance, files, documents)


def make_record(**changed: Any) -> TrainingRecord:
    """What a training could have seen."""
    values: dict[str, Any] = {
        "model": MODEL.name,
        "status": "passed",
        "scoring": "average_precision",
        "trials": [
            {"algorithm": "by distance", "parameters": {"middle": MIDDLE}, "scores": [0.5, 0.75], "fit_s": 1.5},
            {"algorithm": "by carrier", "parameters": {}, "scores": [0.25, None], "fit_s": 0.5},
        ],
        "rows_trained": 100,
        "rows_evaluated": 20,
        "label": {"rate": 0.25},
        "metrics": {"roc_auc": {"value": 0.75, "low": 0.7, "high": 0.8}},
        "baseline": {"roc_auc": {"value": 0.5, "low": 0.45, "high": 0.55}},
        "slices": [
            {"slice": "origin", "value": "JFK", "rows": 20, "label": {"rate": 0.25}, "metrics": {"roc_auc": 0.75}}
        ],
        "gates": [
            {
                "gate": "floor of roc_auc",
                "passed": True,
                "value": 0.75,
                "wanted": "at least 0.66",
                "explanation": "roc_auc is 0.75",
            }
        ],
        "seconds": {"search": 2.0},
    }
    return TrainingRecord.model_validate({**values, **changed})
