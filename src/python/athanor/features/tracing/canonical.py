"""The canonical form of a traced graph: the same computation gives the same bytes, and is done once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

_IR_VERSION: Final = 10
_PRODUCER: Final = "athanor"


def canonicalize(model: ModelProto) -> bytes:
    """The bytes of a model whose nodes stand in the order in which its outputs need them.

    Helpers are called as often as is convenient, so a graph holds many nodes twice: equal ones are merged. What does
    not count for the computation is left out: names of nodes and values, types of values between nodes, who made it.
    """
    names = {tensor.name: tensor.name for tensor in model.graph.input}
    outputs = {tensor.name for tensor in model.graph.output}
    known: dict[bytes, list[str]] = {}
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        made, original = _copy(node, names)
        key = made.SerializeToString(deterministic=True)
        is_output = not outputs.isdisjoint(original)
        if made.op_type == "Identity" and not is_output:
            names[original[0]] = made.input[0]
            continue
        if is_output or key not in known:
            # An output without a name is not computed.
            known[key] = original if is_output else [name and f"v{len(known)}_{i}" for i, name in enumerate(original)]
            made.output[:] = known[key]
            nodes.append(made)
        names.update(zip(original, known[key], strict=True))
    del model.graph.node[:], model.graph.value_info[:]
    model.graph.node.extend(nodes)
    model.graph.name = _PRODUCER
    model.ir_version, model.producer_name, model.producer_version = _IR_VERSION, _PRODUCER, ""
    model.opset_import.sort(key=lambda opset: opset.domain)
    return bytes(model.SerializeToString(deterministic=True))


def _copy(node: NodeProto, names: dict[str, str]) -> tuple[NodeProto, list[str]]:
    """A node with new names for its inputs and none for its outputs, and the original names of its outputs."""
    made = type(node)()
    made.CopyFrom(node)
    made.ClearField("name")
    made.ClearField("doc_string")
    original = list(made.output)
    del made.output[:]
    _rename(made, names)
    return made, original


def _rename(node: NodeProto, names: dict[str, str], depth: int = 1) -> None:
    """Gives inputs their new names, also those that the body of a loop takes from around it."""
    node.input[:] = [names.get(name, name) for name in node.input]
    for attribute in node.attribute:
        if attribute.HasField("g"):
            _rename_body(attribute.g, dict(names), depth)


def _rename_body(body: GraphProto, names: dict[str, str], depth: int) -> None:
    body.ClearField("value_info")
    own = [*(tensor.name for tensor in body.input), *(name for node in body.node for name in node.output)]
    names.update((name, f"b{depth}_{i}") for i, name in enumerate(own))
    for tensor in (*body.input, *body.output):
        tensor.name = names[tensor.name]
    for node in body.node:
        _rename(node, names, depth + 1)
        node.ClearField("name")
        node.output[:] = [names[name] for name in node.output]
