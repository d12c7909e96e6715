"""Files of a release that make or test its model."""

import json
from collections.abc import Mapping
from typing import Final

from google.protobuf import json_format
from google.protobuf.message_factory import GetMessageClass

from athanor.contract.inputs import GraphInputs
from athanor.contract.messages import to_messages
from athanor.data.profiles.profile import profile
from athanor.features.features import Model
from athanor.release.files import CONTRACT, GRAPH, REFERENCE_PROFILE, REFERENCE_ROWS
from athanor.release.graph import Graph
from athanor.tasks.task import Task
from athanor.training.evaluation.evidence import Rows, spread

_REFERENCE_ROWS: Final = 100


def make_files(model: Model, task: Task, graph: bytes, rows: Rows) -> Mapping[str, bytes]:
    """Contract, graph, profile of the rows it was fitted on, and some of them with their answers, by name."""
    contract = model.contract
    reference = rows.take(spread(len(rows), _REFERENCE_ROWS))
    messages = to_messages(contract.columns, reference.columns, GetMessageClass(contract.row))
    answers = Graph(graph, GraphInputs.of(contract.columns)).answer(reference.columns)
    reference_rows = {
        "rows": [json_format.MessageToDict(row, preserving_proto_field_name=True) for row in messages],
        "answers": {name: values.tolist() for name, values in answers.items()},
        "tolerance": task.tolerance(rows.labels),
    }
    return {
        CONTRACT: json.dumps(contract.wire, sort_keys=True).encode(),
        GRAPH: graph,
        REFERENCE_PROFILE: profile(contract.dataset_columns, rows.columns).to_json().encode(),
        REFERENCE_ROWS: json.dumps(reference_rows).encode(),
    }
