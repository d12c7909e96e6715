"""Calls a prediction service by the stubs that its protos generate. Nothing of the server comes along."""

import importlib
import json
from collections.abc import Sequence
from typing import Any, Final

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from athanor.errors import FieldViolation, InvalidRequestError, ModelNotFoundError, NotFoundError, ServiceError

# A prediction changes nothing, so asking again is safe. gRPC waits a random part of these, so callers do not align.
_RETRY_POLICY: Final = {
    "maxAttempts": 5,
    "initialBackoff": "0.05s",
    "maxBackoff": "1s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}


def connect(target: str) -> grpc.Channel:
    """A channel to a service, `host:port`, that asks again when the service is unavailable for a moment."""
    service_config = json.dumps({"methodConfig": [{"name": [{}], "retryPolicy": _RETRY_POLICY}]})
    return grpc.insecure_channel(target, options=[("grpc.service_config", service_config)])


class Client:
    """A project's service, found by the house's convention: `<project>.v1.<project>_pb2_grpc`.

    Attributes:
        row_class: message class of one row.
    """

    def __init__(self, project: str, channel: grpc.Channel) -> None:
        """Raises NotFoundError if this binary carries no stubs of the project."""
        name = f"{project}.v1.{project}"
        try:
            messages: Any = importlib.import_module(f"{name}_pb2")
            services: Any = importlib.import_module(f"{name}_pb2_grpc")
        except ModuleNotFoundError:
            raise NotFoundError(f"this binary carries no stubs of project {project!r}") from None
        service = next(iter(messages.DESCRIPTOR.services_by_name))
        self._predict = getattr(services, f"{service}Stub")(channel).Predict
        self._request_class = messages.PredictRequest
        rows = next(field for field in messages.PredictRequest.DESCRIPTOR.fields if field.is_repeated)
        self._rows_field = rows.name
        self.row_class = getattr(messages, rows.message_type.name)

    def predict(self, rows: Sequence[Any], timeout_s: float = 10.0, request_id: str | None = None) -> Any:
        """Asks for predictions.

        Args:
            rows: messages of `row_class`.
            request_id: comes back in the answer; the server makes one if there is none.

        Returns:
            The response message.

        Raises:
            InvalidRequestError: rows break the contract; carries the violations.
            ModelNotFoundError: the service does not serve the model.
            ServiceError: the service did not answer.
        """
        request = self._request_class(**{self._rows_field: rows})
        metadata = [("x-request-id", request_id)] if request_id else []
        try:
            return self._predict(request, timeout=timeout_s, metadata=metadata)
        except grpc.RpcError as error:
            raise _to_error(error) from None


def _to_error(error: Any) -> Exception:
    code, text = error.code(), error.details()
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        return InvalidRequestError(text, _read_violations(error))
    if code is grpc.StatusCode.NOT_FOUND:
        return ModelNotFoundError(text)
    return ServiceError(f"the service did not answer: {code.name}: {text}")


def _read_violations(error: Any) -> tuple[FieldViolation, ...]:
    status = rpc_status.from_call(error)
    found = error_details_pb2.BadRequest()
    for detail in status.details if status else ():
        detail.Unpack(found)
    violations: Sequence[Any] = found.field_violations  # the stubs do not know `reason` yet
    return tuple(FieldViolation(v.field, v.reason, v.description) for v in violations)
