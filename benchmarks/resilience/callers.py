"""One heavy caller with a token: bodies of the allowed size that cost the most to read."""

from __future__ import annotations

import http.client
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final

import grpc
from resilience.service import Service
from resilience.watching import watch

from suite.goals import Comparison, Goal

_BYTES: Final = 15_900_000
_TIMEOUT_S: Final = 60.0
_AT_ONCE: Final = 3_000
_TIMES_ITS_SIZE: Final = 10.0
_INFER: Final = "/inference.GRPCInferenceService/ModelInfer"


def measure(service: Service) -> Iterator[Goal]:
    """Each body alone, beside a bystander; then very many small requests at once."""
    name = service.questions.model
    rows = service.questions.contract.rows_field.name
    typed, infer = service.questions.path, f"/v2/models/{name}/infer"
    tensor = '{"name":"a","datatype":"FP64","shape":[0],"data":[]}'
    for label, path, body in (
        ("empty rows", typed, _repeat(f'{{"{rows}":[', "{}", "]}")),
        ("rows of an unknown member", typed, _repeat(f'{{"{rows}":[', '{"a":0}', "]}")),
        ("empty tensors", infer, _repeat('{"inputs":[', tensor, "]}")),
        ("unknown outputs", infer, _repeat('{"inputs":[],"outputs":[', '{"name":"a"}', "]}")),
        ("nested arrays", infer, b"[" * (_BYTES // 2) + b"]" * (_BYTES // 2)),
    ):
        yield from _heavy(service, label, partial(_post, service, path, body), len(body))
    for label, method, body in (
        ("empty row messages", service.questions.method, _field(service) * (_BYTES // 2)),
        ("empty tensor messages", _INFER, b"\x2a\x00" * (_BYTES // 2)),
    ):
        yield from _heavy(service, label, partial(_call, service, method, body), len(body))
    yield from _many(service)


def _repeat(start: str, part: str, end: str) -> bytes:
    count = (_BYTES - len(start) - len(end)) // (len(part) + 1)
    return (start + ",".join([part] * count) + end).encode()


def _field(service: Service) -> bytes:
    """An empty row, as a message holds it: its field's tag and length 0."""
    return bytes([service.questions.contract.rows_field.number << 3 | 2, 0])


def _post(service: Service, path: str, body: bytes) -> int:
    try:
        return service.post(path, body, _TIMEOUT_S)[1]
    except (OSError, http.client.HTTPException):
        return 0


def _call(service: Service, method: str, body: bytes) -> int:
    with service.channel() as channel:
        call: Any = channel.unary_unary(method, None, None)
        try:
            answer: bytes = call(body, timeout=_TIMEOUT_S, metadata=service.metadata)
        except grpc.RpcError as error:
            refusal: Any = error
            return len(refusal.details() or "") + sum(len(value) for _, value in refusal.trailing_metadata() or ())
        return len(answer)


def _heavy(service: Service, label: str, ask: Callable[[], int], size: int) -> Iterator[Goal]:
    with watch(service) as seen:
        answered = ask()
    yield Goal(f"bystanders' p99 beside 16 MB of {label}", seen.p99_ms, 200.0, Comparison.AT_MOST, "ms")
    yield Goal(f"bystanders without an answer beside 16 MB of {label}", seen.failed, 0, Comparison.AT_MOST)
    times = seen.grown_mib * 1024 * 1024 / size
    yield Goal(f"memory by 16 MB of {label}, by its size", times, _TIMES_ITS_SIZE, Comparison.AT_MOST)
    yield Goal(f"refusal of 16 MB of {label}", answered / 1024, 64.0, Comparison.AT_MOST, "kB")


def _many(service: Service) -> Iterator[Goal]:
    """Requests at once on one connection: each is answered, or refused by RESOURCE_EXHAUSTED."""
    with service.channel() as channel, ThreadPoolExecutor(64) as threads:
        call: Any = channel.unary_unary(service.questions.method, None, None)
        body, metadata = service.questions.message(), service.metadata
        futures = [call.future(body, timeout=_TIMEOUT_S, metadata=metadata) for _ in range(_AT_ONCE)]
        codes = Counter(threads.map(lambda future: future.code(), futures))
    stray = _AT_ONCE - codes[grpc.StatusCode.OK] - codes[grpc.StatusCode.RESOURCE_EXHAUSTED]
    yield Goal(f"of {_AT_ONCE} calls at once, ended otherwise than promised", stray, 0, Comparison.AT_MOST)
