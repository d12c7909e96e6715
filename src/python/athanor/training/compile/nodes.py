"""Builds nodes of an ONNX graph, in one of our own or within a conversion by skl2onnx."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

ML_DOMAIN: Final = "ai.onnx.ml"


class Nodes(ABC):
    """Adds nodes whose names and order depend on nothing but the calls. Tensors are known by their names."""

    def add(self, kind: str, *inputs: str, domain: str = "", output: str = "", **attributes: Any) -> str:
        """Adds a node with one output, and gives that output's name."""
        name = output or self._make_name(kind)
        node = helper.make_node(kind, inputs, [name], name=f"{name}_node", domain=domain, **attributes)
        self._append(node)
        return name

    def constant(self, values: Any, dtype: type = np.float64) -> str:
        """An array; of texts if `dtype` is str."""
        name = self._make_name("constant")
        self._append_constant(_make_tensor(name, values, dtype))
        return name

    def cast(self, tensor: str, to: int) -> str:
        return self.add("Cast", tensor, to=to)

    def to_double(self, tensor: str) -> str:
        return self.cast(tensor, TensorProto.DOUBLE)

    def take(self, tensor: str, positions: Sequence[int]) -> str:
        """The columns of a tensor of shape (n, k) at some positions."""
        return self.add("Gather", tensor, self.constant(positions, np.int64), axis=1)

    def concat(self, tensors: Sequence[str], output: str = "") -> str:
        """Tensors of shape (n, k) side by side."""
        if len(tensors) == 1:
            return self.add("Identity", tensors[0], output=output) if output else tensors[0]
        return self.add("Concat", *tensors, axis=1, output=output)

    @abstractmethod
    def _make_name(self, hint: str) -> str: ...
    @abstractmethod
    def _append(self, node: NodeProto) -> None: ...
    @abstractmethod
    def _append_constant(self, tensor: TensorProto) -> None: ...


class ModelNodes(Nodes):
    """Adds to the end of a model's graph."""

    def __init__(self, model: ModelProto, prefix: str) -> None:
        """Args: prefix: of all names, which no other name has."""
        self._graph = model.graph
        self._prefix = prefix
        self._count = 0

    def _make_name(self, hint: str) -> str:
        self._count += 1
        return f"{self._prefix}{hint.lower()}_{self._count}"

    def _append(self, node: NodeProto) -> None:
        self._graph.node.append(node)

    def _append_constant(self, tensor: TensorProto) -> None:
        self._graph.initializer.append(tensor)


def _make_tensor(name: str, values: Any, dtype: type) -> TensorProto:
    if dtype is not str:
        return numpy_helper.from_array(np.asarray(values, dtype), name)
    array = np.asarray(values, np.object_)
    texts: list[Any] = [str(text).encode() for text in array.ravel()]
    return helper.make_tensor(name, TensorProto.STRING, array.shape, texts)
