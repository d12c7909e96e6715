"""A graph holds all its data: what would be read from the working folder, or from an address, is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, SparseTensorProto, TensorProto, external_data_helper, helper
from support.model_graphs import open_graph
from support.releases import make_files, make_graph, make_release

from athanor.errors import ReleaseError
from athanor.release.predictor import Predictor
from athanor.release.self_contained import require_self_contained


def _external(location: str = "weights.bin", name: str = "outside") -> TensorProto:
    tensor = helper.make_tensor(name, TensorProto.FLOAT, [1], [1.0])
    tensor.raw_data = np.array([1.0], dtype=np.float32).tobytes()
    tensor.ClearField("float_data")
    external_data_helper.set_external_data(tensor, location, offset=0, length=4)
    tensor.ClearField("raw_data")
    return tensor


def _sparse(tensor: TensorProto) -> SparseTensorProto:
    indices = helper.make_tensor("indices", TensorProto.INT64, [1], [0])
    return helper.make_sparse_tensor(tensor, indices, [1])


def _constant(**attribute: Any) -> Any:
    node = helper.make_node("Constant", [], ["held"])
    node.attribute.append(helper.make_attribute(*attribute.popitem()))
    return node


def _in_initializer(model: ModelProto) -> None:
    next(one for one in model.graph.initializer if one.name == "scale").CopyFrom(_external(name="scale"))


def _in_sparse_initializer(model: ModelProto) -> None:
    model.graph.sparse_initializer.append(_sparse(_external()))


def _in_sparse_indices(model: ModelProto) -> None:
    sparse = _sparse(helper.make_tensor("values", TensorProto.FLOAT, [1], [1.0]))
    sparse.indices.CopyFrom(_external())
    model.graph.sparse_initializer.append(sparse)


def _in_constant(model: ModelProto) -> None:
    model.graph.node.append(_constant(value=_external()))


def _in_sparse_constant(model: ModelProto) -> None:
    model.graph.node.append(_constant(sparse_value=_sparse(_external())))


def _in_subgraph(model: ModelProto) -> None:
    branch = helper.make_graph([_constant(value=_external())], "branch", [], [])
    deeper = helper.make_graph([helper.make_node("If", ["x"], ["y"], then_branch=branch)], "deeper", [], [])
    model.graph.node.append(helper.make_node("If", ["x"], ["y"], then_branch=deeper, else_branch=deeper))


def _in_function(model: ModelProto) -> None:
    body = [_constant(value=_external())]
    model.functions.append(helper.make_function("own", "f", [], ["held"], body, [helper.make_opsetid("", 18)]))


def _in_training(model: ModelProto) -> None:
    model.training_info.add().algorithm.initializer.append(_external())


def _by_location_alone(model: ModelProto) -> None:
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL


def _by_an_unknown_location(model: ModelProto) -> None:
    # Field 14, value 2, which the enum does not have.
    held = model.graph.initializer[0]
    changed = TensorProto.FromString(held.SerializeToString() + b"\x70\x02")
    held.CopyFrom(changed)


def _by_its_place_alone(model: ModelProto) -> None:
    model.graph.initializer[0].external_data.add(key="location", value="weights.bin")


def _by_an_address(model: ModelProto) -> None:
    """As onnxruntime marks data in memory: the offset is an address."""
    model.graph.initializer[0].CopyFrom(_external("*/_ORT_MEM_ADDR_/*", model.graph.initializer[0].name))


_PLACES: tuple[Callable[[ModelProto], None], ...] = (
    _in_initializer,
    _in_sparse_initializer,
    _in_sparse_indices,
    _in_constant,
    _in_sparse_constant,
    _in_subgraph,
    _in_function,
    _in_training,
    _by_location_alone,
    _by_an_unknown_location,
    _by_its_place_alone,
    _by_an_address,
)


def _change(change: Callable[[ModelProto], None]) -> bytes:
    model = ModelProto.FromString(make_graph())
    change(model)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize("change", _PLACES)
def test_data_outside_of_the_graph_is_refused_wherever_it_is_named(change: Callable[[ModelProto], None]) -> None:
    with pytest.raises(ReleaseError, match="keeps its data outside of the graph"):
        require_self_contained(_change(change))
    with pytest.raises(ReleaseError, match="keeps its data outside of the graph"):
        open_graph(_change(change))


def test_a_release_is_refused_even_where_the_file_lies_in_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "weights.bin").write_bytes(np.array([1.0], dtype=np.float32).tobytes())
    monkeypatch.chdir(tmp_path)
    graph = _change(_in_initializer)
    # onnxruntime loads it: only the check refuses the release.
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    release = make_release(tmp_path / "candidates", make_files(model=graph))
    with pytest.raises(ReleaseError, match=r"model\.onnx cannot be run: its tensor 'scale' keeps its data outside"):
        Predictor(release)


def test_a_second_graph_in_the_same_bytes_is_seen() -> None:
    """Parsers merge them."""
    second = ModelProto()
    second.graph.initializer.append(_external())
    with pytest.raises(ReleaseError, match="'outside' keeps"):
        require_self_contained(make_graph() + second.SerializeToString())


def test_the_graph_that_holds_its_data_passes() -> None:
    require_self_contained(make_graph())


def test_another_format_is_refused(tmp_path: Path) -> None:
    """Onnxruntime's own format may name files too."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "graph.ort")
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(make_graph(), options, providers=["CPUExecutionProvider"])
    content = (tmp_path / "graph.ort").read_bytes()
    onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    release = make_release(tmp_path / "candidates", make_files(model=content))
    with pytest.raises(ReleaseError, match="cannot be run"):
        Predictor(release)


@pytest.mark.parametrize("operator", ["EPContext", "PythonOp"])
def test_operators_that_read_files_or_run_code_are_not_there(tmp_path: Path, operator: str) -> None:
    model = ModelProto.FromString(make_graph())
    node = helper.make_node(operator, ["numeric"], ["more"], domain="com.microsoft", ep_cache_context="context.bin")
    model.graph.node.append(node)
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    with pytest.raises(Exception, match=operator):
        open_graph(model.SerializeToString())
    assert [*tmp_path.iterdir()] == []


def _varint(number: int) -> bytes:
    return bytes([number]) if number < 128 else bytes([number & 127 | 128]) + _varint(number >> 7)


def test_a_graph_nested_beyond_reason_is_refused() -> None:
    graph = b""
    for field in (6, 5, 1) * 60:
        graph = bytes([field << 3 | 2]) + _varint(len(graph)) + graph
    model = bytes([7 << 3 | 2]) + _varint(len(graph)) + graph
    with pytest.raises(ReleaseError, match="it is no ONNX graph"):
        require_self_contained(model)
