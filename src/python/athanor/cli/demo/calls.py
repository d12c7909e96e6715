"""Calls of the demo's service: real rows by gRPC and REST, and how long one takes."""

import json
import statistics
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from athanor.errors import ServiceError
from athanor.home import Home

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from athanor.data.snapshots.snapshot import Snapshot
    from athanor.progress import Progress
    from athanor.serving.setup.paths import ServiceState
    from athanor.training.recipe import Recipe

TIMED_CALLS: Final = 500
_WARM_UP_CALLS: Final = 50


@dataclass(frozen=True)
class AnsweredRow:
    """A real row; all values as in protobuf JSON.

    Attributes:
        row: columns that are not missing, by name.
        answer: columns of the prediction, by name.
        outcome: of the label.
    """

    row: dict[str, Any]
    answer: dict[str, Any]
    outcome: Any


@dataclass(frozen=True)
class Calls:
    """Answers of the running service.

    Attributes:
        rows: three of those that the release was evaluated on, answered by gRPC.
        rest_agrees: whether REST gave the same answers.
        median_ms, p99_ms: of consecutive single-row gRPC calls.
    """

    rows: list[AnsweredRow]
    rest_agrees: bool
    median_ms: float
    p99_ms: float


def call(recipe: "Recipe", snapshot: "Snapshot", home: Home, service: "ServiceState", progress: "Progress") -> Calls:
    """Predicts three rows of the evaluation by gRPC and REST, then one many times."""
    import numpy as np
    from google.protobuf.json_format import MessageToDict
    from google.protobuf.message_factory import GetMessageClass

    from athanor.client.client import Client, connect
    from athanor.contract.messages import to_messages
    from athanor.data.snapshots.snapshot import read_snapshot

    contract = recipe.model.contract
    columns = read_snapshot(contract, home.datasets, snapshot)
    evaluated = np.flatnonzero(recipe.is_test(columns))
    chosen = evaluated[[len(evaluated) // 4, len(evaluated) // 2, -(len(evaluated) // 4) - 1]]
    taken = {name: values[chosen] for name, values in columns.items()}
    outcomes = to_messages(contract.outcome_columns, taken, GetMessageClass(contract.outcome))
    with (
        progress.step("Call it by gRPC and REST", _WARM_UP_CALLS + TIMED_CALLS) as advance,
        connect(service.grpc, home=home.path) as connection,
    ):
        client = Client(contract.name, connection)
        rows: list[Any] = to_messages(contract.columns, taken, client.row_class)
        response = client.predict(rows)
        predictions = list(getattr(response, contract.predictions_field.name))
        times_ms = []
        for _ in range(_WARM_UP_CALLS + TIMED_CALLS):
            began = time.perf_counter()
            client.predict(rows[:1])
            times_ms.append((time.perf_counter() - began) * 1000)
            advance(f"{times_ms[-1]:.1f} ms")
        times_ms = sorted(times_ms[_WARM_UP_CALLS:])

    def to_values(message: "Message") -> dict[str, Any]:
        return MessageToDict(message, preserving_proto_field_name=True)

    label = contract.label.name
    return Calls(
        rows=[
            AnsweredRow(to_values(row), to_values(prediction), to_values(outcome)[label])
            for row, prediction, outcome in zip(rows, predictions, outcomes, strict=True)
        ],
        rest_agrees=_ask_rest(recipe, service, home, rows) == predictions,
        median_ms=statistics.median(times_ms),
        p99_ms=times_ms[int(0.99 * TIMED_CALLS) - 1],
    )


def _ask_rest(recipe: "Recipe", service: "ServiceState", home: Home, rows: "Sequence[Message]") -> "list[Message]":
    from google.protobuf import json_format
    from google.protobuf.message_factory import GetMessageClass

    from athanor.serving.setup.paths import ServicePaths

    contract = recipe.model.contract
    token = ServicePaths(home.service, contract.name).token.read_text().strip()
    body = json.dumps({contract.rows_field.json_name: [json_format.MessageToDict(row) for row in rows]}).encode()
    url = f"http://{service.http}/v1/models/{contract.name}:predict"
    request = urllib.request.Request(url, body, {"authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - our own service
        if answer.status != 200:
            raise ServiceError(f"{url} answered {answer.status}")
        response = json_format.Parse(answer.read(), GetMessageClass(contract.predict.output_type)())
    return list(getattr(response, contract.predictions_field.name))
