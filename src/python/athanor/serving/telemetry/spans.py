"""The spans of a request, named and attributed by OpenTelemetry's semantic conventions."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from opentelemetry.trace import Span, SpanContext, Status, StatusCode
from opentelemetry.util.types import AttributeValue

from athanor.contract.contract import Contract
from athanor.errors import AthanorError, DeadlineExceededError
from athanor.serving.formats.problems import to_grpc_code, to_http_status
from athanor.serving.telemetry.logs import is_failure
from athanor.serving.telemetry.tracing import Tracing

_PREDICT: Final = "predict"


@dataclass(frozen=True)
class _Method:
    """A door's method, as spans name it.

    Attributes:
        describe: returns the attributes of an error.
    """

    name: str
    attributes: Mapping[str, AttributeValue]
    describe: Callable[[AthanorError], Mapping[str, AttributeValue]]


class RequestSpans:
    """The spans of a model's requests: one at the door, with a child for the model."""

    def __init__(self, tracing: Tracing, contract: Contract | None) -> None:
        """Args: contract: None for requests whose model is not known yet."""
        self._tracing = tracing
        self._methods = _METHODS
        self._own: Mapping[str, AttributeValue] = {}
        if contract is not None:
            self._methods = _METHODS | {"grpc": _grpc(contract.service.full_name, contract.predict.name)}
            self._own = {"athanor.model": contract.name}

    def start(self, door: str, request_id: str, parent: SpanContext | None) -> Span:
        method = self._methods[door]
        request = {"athanor.door": door, "athanor.request_id": request_id}
        return self._tracing.start(method.name, parent, {**method.attributes, **request, **self._own})

    def adopt(self, span: Span) -> None:
        """The request of a span turns out to be one of this model's."""
        span.set_attributes(self._own)

    def end_answered(
        self,
        span: Span,
        variant: str,
        semantic_version: str,
        digest: str,
        rows: int,
        model_started_ns: int,
        model_ended_ns: int,
    ) -> None:
        span.set_attributes(
            {
                "athanor.variant": variant,
                "athanor.semantic_version": semantic_version,
                "athanor.release_digest": digest,
                "athanor.rows": rows,
            }
        )
        self._tracing.add_child(span, _PREDICT, model_started_ns, model_ended_ns)
        span.end()

    def end_refused(self, span: Span, door: str, error: AthanorError) -> None:
        span.set_attributes({"error.type": error.code, **self._methods[door].describe(error)})
        # A caller's mistake is no error of the service.
        if is_failure(error) or isinstance(error, DeadlineExceededError):
            span.set_status(Status(StatusCode.ERROR, error.code))
        span.end()


def _grpc(service: str, method: str) -> _Method:
    attributes = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method}
    return _Method(f"{service}/{method}", attributes, _describe_for_grpc)


def _http(route: str) -> _Method:
    return _Method(f"POST {route}", {"http.request.method": "POST", "http.route": route}, _describe_for_http)


def _describe_for_grpc(error: AthanorError) -> Mapping[str, AttributeValue]:
    number: int = to_grpc_code(error).value[0]
    return {"rpc.grpc.status_code": number}


def _describe_for_http(error: AthanorError) -> Mapping[str, AttributeValue]:
    return {"http.response.status_code": to_http_status(error)}


_METHODS: Final = {
    # Its name is the contract's; without a model it stays empty.
    "grpc": _Method("Predict", {"rpc.system": "grpc"}, _describe_for_grpc),
    "oip-grpc": _grpc("inference.GRPCInferenceService", "ModelInfer"),
    "rest": _http("/v1/models/{model}:predict"),
    "oip-rest": _http("/v2/models/{model}/infer"),
    # Its requests arrive by both protocols.
    "inspection": _Method("ComputeFeatures", {}, lambda error: {}),
}
