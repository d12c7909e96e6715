"""A constant load at the typed method, REST and the Open Inference Protocol, with rows that only newer wires allow."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import grpc
import grpc.aio
import httpx
from google.protobuf import json_format
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from integration.door_requests import inference_message
from integration.doors import METHODS, PATHS, read_inference, read_typed_json
from integration.load import CALL_TIMEOUT_S, Load, Period, Said, ask_typed
from integration.service import PROJECT

from athanor.client.aio import AsyncClient, connect
from athanor.client.connection.failures import Failure, to_failure
from athanor.client.connection.retries import Attempts, RetryCount, RetryPolicy
from athanor.contract.contract import Contract
from athanor.errors import AthanorError, InvalidRequestError, ServiceError
from delays.v1 import delays_pb2
from inference import open_inference_pb2

_Answer = TypeVar("_Answer")

_UNAVAILABLE: Final = frozenset({429, 502, 503, 504})


@dataclass(frozen=True)
class Asked:
    """A row in the words of each door.

    Attributes:
        needs: number of the first wire that allows it.
        row: as a message of that wire's contract.
        flight: the same bytes as a message of the generated code, which keeps fields that it does not know.
        json, tensors: a request of REST, and one of the Open Inference Protocol.
    """

    needs: int
    row: Any
    flight: delays_pb2.Flight
    json: bytes
    tensors: open_inference_pb2.ModelInferRequest

    @classmethod
    def make(cls, needs: int, contract: Contract, row: Message) -> "Asked":
        request = GetMessageClass(contract.predict.input_type)(**{contract.rows_field.name: [row]})
        return cls(
            needs,
            row,
            delays_pb2.Flight.FromString(row.SerializeToString()),
            json_format.MessageToJson(request).encode(),
            inference_message([row], contract.columns),
        )


@dataclass(frozen=True)
class Refused:
    """A call that was refused because its row breaks the contract; the rest as in `Answered`."""

    row: int
    began: float
    ended: float
    why: str


@dataclass
class MixedLoad(Load):
    """A third of the callers at each door, all with the retries of our client. The rows are `Asked`."""

    refused: list[Refused] = field(default_factory=list)

    async def _run(self) -> None:
        metadata, policy = [self.service.authorization], self.retry or RetryPolicy()
        retrying = _Retrying(policy)
        async with (
            connect(self.service.grpc, home=self.service.home.path, retry=policy) as connection,
            grpc.aio.insecure_channel(self.service.grpc) as channel,
            httpx.AsyncClient(base_url=f"http://{self.service.http}", headers=dict(metadata), trust_env=False) as rest,
        ):
            client = AsyncClient(PROJECT, connection)
            infer: Any = channel.unary_unary(METHODS["oip-grpc"], lambda request: request.SerializeToString(), None)

            async def typed(row: int) -> Said:
                return await ask_typed(client, self.rows[row].flight)

            async def tensors(row: int) -> Said:
                asked = self.rows[row].tensors
                content = await retrying.send(lambda timeout_s: infer(asked, timeout=timeout_s, metadata=metadata))
                return _to_said(*read_inference(content))

            async def typed_json(row: int) -> Said:
                asked = self.rows[row].json
                response = await retrying.send(lambda timeout_s: _post(rest, asked, timeout_s))
                return _to_said(*read_typed_json(response))

            await self._keep_asking([typed, tensors, typed_json])
            self.retries += client.retries + retrying.count.value

    def _note_failure(self, row: int, began: float, ended: float, error: AthanorError) -> None:
        if isinstance(error, InvalidRequestError):
            self.refused.append(Refused(row, began, ended, str(error)))
        else:
            super()._note_failure(row, began, ended, error)


class _Retrying:
    """The retries of our client, for other doors than its own."""

    def __init__(self, policy: RetryPolicy) -> None:
        self.count = RetryCount()
        self._policy = policy

    async def send(self, call: Callable[[float], Awaitable[_Answer]]) -> _Answer:
        attempts = Attempts(self._policy, CALL_TIMEOUT_S, self.count)
        while True:
            try:
                return await call(attempts.remaining_s)
            except (grpc.RpcError, httpx.HTTPError) as error:
                wait_s = attempts.wait_after(_read_failure(error))
            await asyncio.sleep(wait_s)


async def _post(rest: httpx.AsyncClient, content: bytes, timeout_s: float) -> httpx.Response:
    return (await rest.post(PATHS["rest"], content=content, timeout=timeout_s)).raise_for_status()


def _read_failure(error: grpc.RpcError | httpx.HTTPError) -> Failure:
    if isinstance(error, grpc.RpcError):
        return to_failure(error, CALL_TIMEOUT_S, str)
    if not isinstance(error, httpx.HTTPStatusError):
        return Failure(ServiceError(f"no answer: {error!r}"), 0.0)
    status, text = error.response.status_code, error.response.text
    if status == httpx.codes.BAD_REQUEST:
        return Failure(InvalidRequestError(text, ()))
    retry_after_s = float(error.response.headers.get("retry-after", 0)) if status in _UNAVAILABLE else None
    return Failure(ServiceError(f"{status}: {text}"), retry_after_s)


def _to_said(probabilities: Sequence[float], fields: Mapping[str, str]) -> Said:
    (probability,) = probabilities
    return Said(fields["version"], fields["digest"], probability)


def find_unjustified(
    refused: Iterable[Refused], asked: Sequence[Asked], periods: Sequence[Period], wires: Mapping[str, int]
) -> list[Refused]:
    """Refusals of rows that every traffic file between the beginning and the end of the call allowed.

    Args:
        wires: the number of each version's wire, the higher the newer.
    """
    return [
        each
        for each in refused
        if not any(
            max(wires[version] for version in period.versions) < asked[each.row].needs
            and each.began < period.ends
            and each.ended > period.begins
            for period in periods
        )
    ]
