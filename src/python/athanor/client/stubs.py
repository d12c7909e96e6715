"""Generated code of a project, found by the project's name."""

import importlib
from collections.abc import Callable, Sequence
from typing import Any

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from athanor.errors import NotFoundError


class Stubs:
    """Generated code of a project, by convention `<project>.v1.<project>_pb2` and `…_pb2_grpc`.

    Attributes:
        row_class: message class of one row.
        rows_field: name of the request's field with the rows.
        predictions_field: name of the response's field with the predictions.
    """

    def __init__(self, project: str) -> None:
        """Raises NotFoundError if this binary has no stubs of the project."""
        name = f"{project}.v1.{project}"
        try:
            if not project.isidentifier():
                raise ModuleNotFoundError(project)
            messages: Any = importlib.import_module(f"{name}_pb2")
            services: Any = importlib.import_module(f"{name}_pb2_grpc")
        except ModuleNotFoundError:
            raise NotFoundError(f"this binary has no stubs of project {project!r}") from None
        service = next(iter(messages.DESCRIPTOR.services_by_name))
        self._stub: Callable[[Any], Any] = getattr(services, f"{service}Stub")
        self._request_class: Callable[..., Message] = messages.PredictRequest
        rows = _repeated(messages.PredictRequest.DESCRIPTOR)
        self.rows_field: str = rows.name
        self.row_class: type[Any] = getattr(messages, rows.message_type.name)
        self.predictions_field: str = _repeated(messages.PredictResponse.DESCRIPTOR).name

    def open_predict(self, channel: Any) -> Callable[..., Any]:
        """Callable of the RPC `Predict` on a channel of grpc or grpc.aio."""
        predict: Callable[..., Any] = self._stub(channel).Predict
        return predict

    def make_request(self, rows: Sequence[Any], semantic_version: str | None) -> Message:
        return self._request_class(**{self.rows_field: rows}, semantic_version=semantic_version)


def _repeated(message: Descriptor) -> Any:
    return next(field for field in message.fields if field.is_repeated)
