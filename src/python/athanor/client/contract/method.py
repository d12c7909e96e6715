"""The RPC `Predict` of a model, as a client calls it."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from athanor.errors import NotFoundError

PREDICT: Final = "Predict"

_MODEL: Final = re.compile(r"([a-z_][a-z0-9_]{0,99})(?:\.v([1-9][0-9]{0,3}))?")


def package_of(model: str) -> str:
    """Proto package of a model: `p.v1` for `p`, `p.v2` for `p.v2`.

    Raises:
        NotFoundError: the text cannot be a model's name.
    """
    found = _MODEL.fullmatch(model)
    if found is None:
        raise NotFoundError(f"{model[:100]!r} cannot be a model; give a name such as flight_delay or flight_delay.v2")
    return f"{found[1]}.v{found[2] or 1}"


@dataclass(frozen=True)
class AnsweredBy:
    """Release that answered a request: the response's fields of the same names."""

    model_name: str
    semantic_version: str
    release_digest: str
    request_id: str
    variant: str


@dataclass(frozen=True)
class PredictMethod:
    """The RPC `Predict` of a model.

    Attributes:
        path: of its calls, `/<service>/Predict`.
        row_class: message class of one row.
        rows_field: name of the request's field with the rows.
        predictions_field: name of the response's field with the predictions.
    """

    path: str
    request_class: type[Any]
    response_class: type[Any]
    row_class: type[Any]
    rows_field: str
    predictions_field: str

    @classmethod
    def of(cls, method: MethodDescriptor) -> "PredictMethod":
        """From a descriptor; one of generated code gives the generated message classes."""
        rows = _find_repeated(method.input_type)
        return cls(
            path=f"/{method.containing_service.full_name}/{method.name}",
            request_class=GetMessageClass(method.input_type),
            response_class=GetMessageClass(method.output_type),
            row_class=GetMessageClass(rows.message_type),
            rows_field=rows.name,
            predictions_field=_find_repeated(method.output_type).name,
        )

    def open(self, channel: Any) -> Callable[..., Any]:
        """Callable of the RPC on a channel of grpc or grpc.aio."""
        call: Callable[..., Any] = channel.unary_unary(
            self.path, self.request_class.SerializeToString, self.response_class.FromString
        )
        return call

    def make_request(self, rows: Sequence[Any], semantic_version: str | None) -> Message:
        request: Message = self.request_class(**{self.rows_field: rows}, semantic_version=semantic_version)
        return request


def _find_repeated(message: Descriptor) -> Any:
    """The repeated field of a request or response: its rows or predictions."""
    return next(field for field in message.fields if field.is_repeated)
