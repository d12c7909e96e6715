"""The largest requests, each the worst of its kind: none holds up the others or takes much memory.

A turn is measured by the time that its thread computes, so that other processes on the machine do not count.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from support.flights import make_columns, make_flight
from support.reading import finish
from support.serving import reading_core
from support.tensors import to_json, to_request

from athanor.contract.messages import to_messages
from athanor.contract.validation import validate
from athanor.errors import AthanorError, InvalidRequestError
from athanor.serving.answering.core import Core, read_columns
from athanor.serving.answering.interface import Question
from athanor.serving.answering.refusals import Unread, refuse
from athanor.serving.formats import inference_json, inference_messages, inspection, typed, typed_json
from athanor.serving.formats.json_body import Turns
from athanor.serving.formats.problems import to_problem
from delays.v1 import delays_pb2
from inference.open_inference_pb2 import InferTensorContents, ModelInferRequest
from projects.delays.model import MODEL

_BYTES: Final = 15_000_000
_LONGEST_TURN_S: Final = 0.2
_ROWS: Final = 10_000
_STATUS: Final = Path("/proc/self/status")
_UNKNOWN: Final = b"\xf8\x07\x00"


def _fill(head: bytes, unit: bytes, tail: bytes) -> bytes:
    return head + unit * ((_BYTES - len(head) - len(tail)) // len(unit) - 1) + unit.rstrip(b",") + tail


def _wrap(tag: int, content: bytes) -> bytes:
    """A field with a length, as protobuf writes it."""
    length, written = len(content), bytes([tag])
    while length > 0x7F:
        written += bytes([length & 0x7F | 0x80])
        length >>= 7
    return written + bytes([length]) + content


def _tensor(datatype: bytes, contents: bytes) -> bytes:
    return _wrap(0x2A, _wrap(0x0A, b"distance") + _wrap(0x12, datatype) + _wrap(0x1A, b"\x01") + _wrap(0x2A, contents))


def _row(value: bytes) -> bytes:
    return b'{"flights": [{"carrier": ' + value


_TYPED: Final[dict[str, Callable[[], bytes]]] = {
    "empty rows": lambda: _fill(b'{"flights": [', b"{},", b"]}"),
    "lists": lambda: _fill(_row(b"["), b"[],", b"]}]}"),
    "depth": lambda: _fill(b'{"flights": ', b"[", b""),
    "names": lambda: b'{"flights": [{' + b",".join(b'"k%d":1' % name for name in range(_BYTES // 11)) + b"}]}",
    "names within the limit": lambda: _row(b'"UA",') + b",".join(b'"k%d":1' % n for n in range(180_000)) + b"}]}",
    "names given twice": lambda: _fill(b'{"flights": [{', b'"":0,', b"}]}"),
    "escapes": lambda: _fill(_row(b'"'), rb"\u0041", b'"}]}'),
    "escaped quotes": lambda: _fill(_row(b'"'), rb"\",[", b'"}]}'),
    "brackets in a text": lambda: _fill(_row(b'"'), b",[{", b'"}]}'),
    "wide characters": lambda: _fill(_row('"\U0001f6eb'.encode()), b"a", b'"}]}'),
    "a long number": lambda: _fill(_row(b""), b"9", b"}]}"),
    "a long fraction": lambda: _fill(_row(b"0."), b"9", b"}]}"),
    "long numbers": lambda: _fill(b'{"flights": [', b'{"distance":' + b"9" * 4_290 + b"},", b"]}"),
    "a number in a text": lambda: _fill(b'{"flights": [{"distance": "', b"9", b'"}]}'),
    "rows that are wrong": lambda: json.dumps(
        {"flights": [{"carrier": 1, "distance": "far", "x": 1}] * _ROWS}
    ).encode(),
}
_TENSORS: Final[dict[str, Callable[[], bytes]]] = {
    "inputs": lambda: _fill(b'{"inputs": [', b'{"name":"a","datatype":"FP64","shape":[1],"data":[]},', b"]}"),
    "outputs": lambda: _fill(b'{"outputs": [', b'{"name":"a"},', b"]}"),
    "values": lambda: _fill(b'{"inputs": [{"name":"a","data":[', b"1,", b"]}]}"),
    "nested values": lambda: _fill(b'{"inputs": [{"name":"a","data":[', b"[1],", b"]}]}"),
    "values that are wrong": lambda: json.dumps(
        {"inputs": [{**tensor, "data": ["?"] * _ROWS} for tensor in to_json(make_columns(_ROWS))["inputs"]]}
    ).encode(),
}
_MESSAGES: Final[dict[str, Callable[[], bytes]]] = {
    "empty rows": lambda: b"\x0a\x00" * (_BYTES // 2),
    "fields of a row": lambda: _wrap(0x0A, _UNKNOWN * (_BYTES // 3)),
    "fields of many rows": lambda: _wrap(0x0A, _UNKNOWN * 10_000) * (_BYTES // 30_004),
    "fields": lambda: _UNKNOWN * (_BYTES // 3),
    "a name": lambda: _wrap(0x12, b"a" * _BYTES),
    "rows that are wrong": lambda: b"\x0a\x00" * _ROWS,
}
_TENSOR_MESSAGES: Final[dict[str, Callable[[], bytes]]] = {
    "inputs": lambda: b"\x2a\x00" * (_BYTES // 2),
    "outputs": lambda: b"\x32\x00" * (_BYTES // 2),
    "raw contents": lambda: b"\x3a\x00" * (_BYTES // 2),
    "parameters": lambda: b"".join(_wrap(0x22, _wrap(0x0A, b"%d" % name)) for name in range(_BYTES // 12)),
    "a shape": lambda: _wrap(0x2A, _wrap(0x1A, b"\x01" * _BYTES)),
    "numbers of a byte": lambda: _tensor(b"INT64", _wrap(0x1A, b"\x01" * _BYTES)),
    "booleans": lambda: _tensor(b"BOOL", _wrap(0x0A, b"\x01" * _BYTES)),
    "empty texts": lambda: _tensor(b"BYTES", b"\x42\x00" * (_BYTES // 2)),
    "raw empty texts": lambda: ModelInferRequest(
        inputs=[ModelInferRequest.InferInputTensor(name="carrier", datatype="BYTES", shape=[10])],
        raw_input_contents=[bytes(_BYTES)],
    ).SerializeToString(),
    "texts that are no times": lambda: ModelInferRequest(
        inputs=[
            ModelInferRequest.InferInputTensor(
                name="scheduled_departure",
                datatype="BYTES",
                shape=[_ROWS],
                contents=InferTensorContents(bytes_contents=[b"?"] * _ROWS),
            )
        ]
    ).SerializeToString(),
}


def _inspect(core: Core, content: bytes) -> Turns[Any]:
    request = yield from inspection.parse(content)
    return (yield from inspection.read(core.interface, request))


_DOORS: Final[dict[str, tuple[dict[str, Callable[[], bytes]], Callable[[Core, bytes], Turns[Any]]]]] = {
    "rest": (_TYPED, lambda core, body: typed_json.read(core.interface, body)),
    "oip-rest": (_TENSORS, lambda core, body: inference_json.read(core.interface, body, None, "", "")),
    "grpc": (_MESSAGES, lambda core, body: typed.read(core.interface, body)),
    "inspection": (_MESSAGES, lambda core, body: _inspect(core, _wrap(0x1A, body))),
    "oip-grpc": (_TENSOR_MESSAGES, lambda core, body: inference_messages.read(core.interface, body, "")),
}
_CASES: Final = [(door, kind) for door, (kinds, _) in _DOORS.items() for kind in kinds]


def _measure(core: Core, work: Turns[Any]) -> tuple[float, object]:
    """The longest turn of work on a question and of its validation, and the error that ends them."""
    found: object = None
    longest, is_done = 0.0, False
    while not is_done:
        began = time.thread_time()
        try:
            next(work)
        except StopIteration as done:
            is_done, found = True, _validate(core, getattr(done.value, "question", done.value))
        except AthanorError as refused:
            is_done, found = True, refused
        longest = max(longest, time.thread_time() - began)
    return longest, found


def _validate(core: Core, question: Question) -> InvalidRequestError | None:
    columns = read_columns([question], question.contract)
    breaches = validate(core.interface.contract.columns, columns)
    return refuse(breaches, Unread(), question.count, question.locate) if breaches else None


def _read_memory(name: str) -> int:
    (line,) = (line for line in _STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


@pytest.mark.parametrize(("door", "kind"), _CASES)
def test_the_worst_request_is_refused_in_short_turns_and_little_memory(door: str, kind: str) -> None:
    kinds, read = _DOORS[door]
    core, body = reading_core(_ROWS), kinds[kind]()
    before = _read_memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    longest, error = _measure(core, read(core, body))
    grown = _read_memory("VmHWM") - before
    assert isinstance(error, AthanorError)
    assert longest < _LONGEST_TURN_S
    # What a small request of many values takes is not by its size, but by the most values that are allowed.
    assert grown < max(10 * len(body), 2**26)
    assert len(json.dumps(to_problem(error, "id"))) < 100_000


@pytest.mark.parametrize("door", _DOORS)
def test_as_many_rows_as_allowed_are_read_in_short_turns(door: str) -> None:
    columns = make_columns(_ROWS)
    flights = [json.dumps({"distance": 1, "carrier": "UA", "origin": "EWR"})] * _ROWS
    rows = delays_pb2.PredictRequest(flights=to_messages(MODEL.contract.columns, columns, delays_pb2.Flight))
    bodies = {
        "rest": f'{{"flights": [{",".join(flights)}]}}'.encode(),
        "oip-rest": json.dumps(to_json(columns)).encode(),
        "grpc": rows.SerializeToString(),
        "inspection": rows.SerializeToString(),
        "oip-grpc": to_request(columns).SerializeToString(),
    }
    core = reading_core(_ROWS)
    longest, error = _measure(core, _DOORS[door][1](core, bodies[door]))
    assert error is None or door == "rest"
    assert longest < _LONGEST_TURN_S


def test_large_and_small_messages_are_read_alike() -> None:
    """Beyond some kilobytes they are read in parts."""
    core, names = reading_core(_ROWS), [column.name for column in MODEL.contract.columns]
    flights = [make_flight(distance=1 + row) for row in range(1_200)]
    request = delays_pb2.PredictRequest(semantic_version="1.2.3", flights=flights)
    question = finish(typed.read(core.interface, request.SerializeToString(), "key"))
    expected = read_columns([typed.to_question(core.interface, request, "key")], question.contract)
    assert (question.count, question.semantic_version, question.sticky_key) == (1_200, "1.2.3", "key")
    assert question.columns is not None
    for name in names:
        np.testing.assert_array_equal(question.columns[name], expected[name])


@pytest.mark.parametrize(
    ("tail", "message"),
    [
        (b"\x0a\x05a", "ends after the message"),
        (b"\x0a", "ends within a field"),
        (b"\x10" + b"\xff" * 11, "does not end"),
        (b"\x0b", "begins a field of wire type 3"),
    ],
)
def test_a_large_message_of_malformed_bytes_is_refused(tail: bytes, message: str) -> None:
    content = delays_pb2.PredictRequest(flights=[make_flight()] * 1_000).SerializeToString() + tail
    for read in (
        lambda core, body: typed.read(core.interface, body),
        lambda core, body: inference_messages.read(core.interface, body, ""),
    ):
        with pytest.raises(InvalidRequestError, match=f"the bytes are not a valid .*{message}"):
            finish(read(reading_core(_ROWS), content))
