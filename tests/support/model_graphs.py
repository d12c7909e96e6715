"""Graphs of the project of the tests, ready to run."""

from typing import Final

from athanor.contract.inputs import GraphInputs
from athanor.release.graph import Graph
from projects.delays.model import MODEL

INPUTS: Final = GraphInputs.of(MODEL.contract.columns)


def open_graph(content: bytes) -> Graph:
    return Graph(content, INPUTS)
