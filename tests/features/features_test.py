"""Features: the graph that is traced from them, its outputs and its identity."""

import dataclasses
import os
import subprocess
import sys
from typing import Final

import numpy as np
import onnx
import pytest
from support.graphs import FeatureGraph, make_columns
from support.protos import Toy

from athanor.features.arrays import OPSET, Arrays, Compute, xp
from athanor.features.features import Features, Model
from athanor.features.numbers import cyclic, ratio
from athanor.features.texts import join, look_up, normalize
from athanor.features.times import hour_of_day, to_local_time, weekday
from projects.delays.model import MODEL

_COLUMNS: Final = make_columns()


def _trace(compute: Compute, numeric: tuple[str, ...] = ("f",), categorical: tuple[str, ...] = ()) -> bytes:
    return Features(numeric, categorical, compute).trace(_COLUMNS)


def _count(graph: bytes, kind: str) -> int:
    return sum(node.op_type == kind for node in onnx.load_from_string(graph).graph.node)


def _compute(columns: Arrays) -> Arrays:
    return {
        "twice": columns["x"] * 2,
        "sum": columns["x"] + columns["y"],
        "is_more": columns["x"] > columns["y"],
        **{name: columns[name] for name in ("x", "y", "flag", "s", "r")},
        "both": join(columns["s"], columns["r"]),
    }


@pytest.mark.parametrize("numeric", [("sum", "y", "is_more", "x", "twice"), ("twice", "x"), ("y", "x"), ("y",), ()])
@pytest.mark.parametrize("categorical", [("r", "both", "s"), ("both", "s"), ("r", "s"), ("s", "r"), ("both",), ()])
def test_features_stand_in_the_order_in_which_they_are_declared(
    numeric: tuple[str, ...], categorical: tuple[str, ...]
) -> None:
    if not numeric and not categorical:
        return
    columns = {
        "x": np.array([1.0, np.nan, 3.0]),
        "y": np.array([3.0, 4.0, -0.0]),
        "flag": np.array([1.0, 0.0, np.nan]),
        **{name: np.array(["NaT"] * 3, dtype="M8[us]") for name in ("t", "u")},
        "s": np.array(["a", "", "b"], dtype=object),
        "r": np.array(["c", "d", "e"], dtype=object),
    }
    features = Features(
        numeric, categorical, lambda given: {name: _compute(given)[name] for name in numeric + categorical}
    )
    found = FeatureGraph(features, _COLUMNS)(columns)
    expected = {
        "twice": columns["x"] * 2,
        "sum": columns["x"] + columns["y"],
        "is_more": columns["x"] > columns["y"],
        **{name: columns[name] for name in ("x", "y", "s", "r")},
        "both": np.array(["ac", "", "be"], dtype=object),
    }
    assert [*found] == [*numeric, *categorical]
    for name, values in found.items():
        np.testing.assert_array_equal(values, expected[name])


def _replace_in_place(columns: Arrays) -> Arrays:
    x = columns["x"]
    x[xp.isnan(x)] = 7.0
    return {"x": x, "other": columns["y"], "again": columns["y"], "both": columns["y"] * 1}


def test_a_column_may_be_changed_in_place_and_have_another_name() -> None:
    features = Features(("again", "x", "other", "both"), (), _replace_in_place)
    columns = {"x": np.array([1.0, np.nan]), "y": np.array([3.0, 4.0])}
    found = FeatureGraph(features, make_columns(x="double", y="double"))(columns)
    for computed in (found, features.eager(columns)):
        assert {name: values.tolist() for name, values in computed.items()} == {
            "again": [3, 4],
            "x": [1, 7],
            "other": [3, 4],
            "both": [3, 4],
        }


def test_the_graph_takes_the_tensors_of_the_contract_and_gives_matrices() -> None:
    model = onnx.load_from_string(_trace(_compute, ("twice", "sum", "is_more", "x", "y", "flag"), ("s", "r", "both")))
    onnx.checker.check_model(model, full_check=True)
    assert [tensor.name for tensor in model.graph.input] == ["numbers", "instants", "texts"]
    assert {tensor.name: tensor.type.tensor_type.elem_type for tensor in model.graph.output} == {
        "numeric": onnx.TensorProto.FLOAT,
        "categorical": onnx.TensorProto.STRING,
    }
    assert {opset.domain: opset.version for opset in model.opset_import}[""] == OPSET


def test_a_kind_without_columns_has_no_input() -> None:
    features = Features(("f",), (), lambda columns: {"f": columns["x"]})
    model = onnx.load_from_string(features.trace(make_columns(x="double")))
    assert [tensor.name for tensor in model.graph.input] == ["numbers"]


def test_positions_count_numbers_before_texts() -> None:
    assert Features(("sum", "twice"), ("text",), _compute).position("text", "sum") == [2, 0]


def _in_one_order(columns: Arrays) -> Arrays:
    """A docstring, and a helper that is called once."""
    local = to_local_time(columns["t"], "Europe/Berlin")
    return {"f": hour_of_day(local) + weekday(local), "g": normalize(columns["s"])}


def _in_another_order(columns: Arrays) -> Arrays:
    unused = cyclic(columns["x"], 3)
    text = normalize(columns["s"])
    day = weekday(to_local_time(columns["t"], "Europe/Berlin"))
    assert unused
    return {"g": text, "f": hour_of_day(to_local_time(columns["t"], "Europe/Berlin")) + day}


def test_the_graph_depends_on_what_is_computed_and_not_on_how_it_is_written() -> None:
    assert _trace(_in_one_order, ("f",), ("g",)) == _trace(_in_another_order, ("f",), ("g",))


def test_what_is_computed_twice_is_a_node_once() -> None:
    graph = _trace(lambda c: {"f": normalize(c["s"]), "g": normalize(c["s"]) + normalize(c["r"])}, (), ("f", "g"))
    assert _count(graph, "Loop") == 2
    assert _count(_trace(_in_another_order, ("f",), ("g",)), "TreeEnsembleRegressor") == 1


def test_the_order_of_a_table_does_not_count() -> None:
    one = _trace(lambda columns: {"f": look_up(columns["s"], {"a": 1, "b": 2})})
    assert one == _trace(lambda columns: {"f": look_up(columns["s"], {"b": 2, "a": 1})})
    assert one != _trace(lambda columns: {"f": look_up(columns["s"], {"a": 1, "b": 3})})


def _digest(numeric: tuple[str, ...], compute: Compute) -> str:
    contract = dataclasses.replace(Toy().read(), columns=tuple(_COLUMNS))
    return Model(contract, Features(numeric, (), compute)).features_digest


def test_the_digest_sees_constants_names_and_their_order() -> None:
    digests = {
        _digest(("f", "g"), lambda columns: {"f": columns["x"] * 2, "g": columns["y"]}),
        _digest(("f", "g"), lambda columns: {"f": columns["x"] * 3, "g": columns["y"]}),
        _digest(("g", "f"), lambda columns: {"f": columns["x"] * 2, "g": columns["y"]}),
        _digest(("f", "h"), lambda columns: {"f": columns["x"] * 2, "h": columns["y"]}),
        _digest(("f", "g"), lambda columns: {"f": ratio(columns["x"], columns["y"]), "g": columns["y"]}),
    }
    assert len(digests) == 5
    assert {len(digest) for digest in digests} == {64}


def _run(code: str) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "7"}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()


def test_the_digest_is_the_same_in_a_process_with_another_hash_seed() -> None:
    assert _run("from projects.delays.model import MODEL; print(MODEL.features_digest)") == MODEL.features_digest


def test_a_declaration_is_read_without_the_libraries_that_trace() -> None:
    loaded = _run("import sys, projects.delays.model; print(*sys.modules)").split()
    assert not {"ndonnx", "spox", "onnx", "onnxruntime"} & {*loaded}


def test_the_namespace_is_that_of_the_standard() -> None:
    assert xp.__array_api_version__ >= "2024.12"
