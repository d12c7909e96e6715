"""Releases whose model fails on some valid rows, or answers them outside of the contract."""

from pathlib import Path
from typing import Any, Final

import numpy as np
from onnx import TensorProto, helper
from support.releases import attach, make_files, make_release, make_tail

from athanor.release.store import ReleaseStore
from athanor.release.traffic import Served, Traffic
from athanor.serving.answering.core import Core
from athanor.serving.answering.loading import Loader
from projects.delays.model import MODEL

KNOWN: Final = ("AA", "B6", "DL", "UA")
"""The carriers that `make_strict_graph` knows."""


def make_core(folder: Path, graph: bytes, shadow: bytes | None = None) -> Core:
    """Serves graphs as champion 1.0.0 and as shadow 2.0.0."""
    store = ReleaseStore(folder / "store")

    def serve(content: bytes, semantic_version: str) -> Served:
        release = make_release(folder / "candidates", make_files(model=content))
        store.publish(release)
        return Served(digest=release.digest, semantic_version=semantic_version)

    champion, shadowing = serve(graph, "1.0.0"), serve(shadow, "2.0.0") if shadow else None
    store.write_traffic(Traffic(model=MODEL.name, revision=1, champion=champion, shadow=shadowing))
    return Core(Loader(MODEL.name, store, max_rows=10_000))


def make_strict_graph(middle: float = 1_000.0) -> bytes:
    """As `make_graph`, but it fails on a carrier that it does not know, as OneHotEncoder() compiles it."""
    model = make_tail(middle)
    position = MODEL.features.categorical.index("carrier")
    model.graph.initializer.extend(
        [
            helper.make_tensor("at_carrier", TensorProto.INT64, [1], [position]),
            helper.make_tensor("zeros", TensorProto.FLOAT, [len(KNOWN)], [0.0] * len(KNOWN)),
        ]
    )
    known: dict[str, Any] = {"keys_strings": list(KNOWN), "values_int64s": list(range(len(KNOWN))), "default_int64": 99}
    nodes = [
        helper.make_node("Gather", ["categorical", "at_carrier"], ["carrier"], axis=1),
        helper.make_node("LabelEncoder", ["carrier"], ["number"], domain="ai.onnx.ml", **known),
        # Fails beyond the end.
        helper.make_node("Gather", ["zeros", "number"], ["nothing"], axis=0),
        helper.make_node("Add", ["distance", "nothing"], ["kept"]),
    ]
    gather, subtract, *rest = model.graph.node
    subtract.input[0] = "kept"
    del model.graph.node[:]
    model.graph.node.extend([gather, *nodes, subtract, *rest])
    return attach(model)


def make_dividing_graph(middle: float = 1_000.0) -> bytes:
    """As `make_graph`, but it answers NaN at 4,000 miles, infinity at 5,000 and -infinity at 5,001."""
    model = make_tail(middle)
    values = {"nan_at": 4_000.0, "nan": np.nan, "inf_at": 5_000.0, "inf": np.inf, "minus_at": 5_001.0, "minus": -np.inf}
    model.graph.initializer.extend(
        helper.make_tensor(name, TensorProto.FLOAT, [1], [value]) for name, value in values.items()
    )
    nodes = []
    late = "late"
    for at, value in (("nan_at", "nan"), ("inf_at", "inf"), ("minus_at", "minus")):
        nodes.append(helper.make_node("Equal", ["distance", at], [f"is_{at}"]))
        nodes.append(helper.make_node("Where", [f"is_{at}", value, late], [f"late_{at}"]))
        late = f"late_{at}"
    last = model.graph.node[-1]
    last.input[0] = late
    del model.graph.node[-1]
    model.graph.node.extend([*nodes, last])
    return attach(model)
