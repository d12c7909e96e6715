"""The deployment: one process that answers gRPC and REST from one core."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from google.protobuf.message import Message
from ray import serve
from ray.serve.grpc_util import RayServegRPCContext

from athanor.errors import AthanorError
from athanor.features.features import Model
from athanor.inspection.v1 import inspection_pb2
from athanor.projects import load
from athanor.release.store import ReleaseStore
from athanor.serving.core import Core
from athanor.serving.grpc_services import report_serving
from athanor.serving.inspection import to_message
from athanor.serving.problems import to_grpc_code, to_rpc_status
from athanor.serving.rest import REQUEST_ID, build_rest, make_request_id
from athanor.serving.settings import ServingSettings

# Requests that wait in one replica; the rest waits in the ingress, which sees all replicas.
_MAX_ONGOING_REQUESTS = 100


class Replica:
    """Answers for one model.

    Serve's decorators are applied in `bind`: a decorated class would be pickled by value, and each replica would then
    hold copies of what its methods name in their modules, such as the health servicer.
    """

    def __init__(self, project: str, store: str, max_rows: int, require_signature: Path | None) -> None:
        self._core = Core(load(project, "model", Model), ReleaseStore(store), max_rows, require_signature)

    def __serve_build_asgi_app__(self) -> FastAPI:
        return build_rest(self._core, self._on_start)

    @asynccontextmanager
    async def _on_start(self, app: FastAPI) -> AsyncIterator[None]:
        await report_serving(self._core.contract)
        yield

    async def Predict(self, request: Any, grpc_context: RayServegRPCContext) -> Message:  # noqa: N802
        """The typed gRPC door; named as the method in the proto."""
        return _answer(grpc_context, lambda id_: self._core.predict(request, id_), self._core.response_class)

    async def ComputeFeatures(self, request: Any, grpc_context: RayServegRPCContext) -> Message:  # noqa: N802
        """The gRPC door of inspection; named as the method in the proto."""
        return _answer(
            grpc_context,
            lambda id_: to_message(self._core.inspect_serialised(request, id_)),
            inspection_pb2.ComputeFeaturesResponse,
        )


def _answer(
    grpc_context: RayServegRPCContext, make: Callable[[str], Message], response_class: Callable[[], Message]
) -> Message:
    """The response that `make` has for a request id; an empty one beside the status of the error that it raises."""
    request_id = make_request_id(dict(grpc_context.invocation_metadata()).get(REQUEST_ID))
    metadata: list[tuple[str, Any]] = [(REQUEST_ID, request_id)]
    try:
        response = make(request_id)
    except AthanorError as error:
        # Serve keeps the trailing metadata of what returns, not of what raises.
        status = to_rpc_status(error)
        grpc_context.set_code(to_grpc_code(error))
        grpc_context.set_details(status.message)
        metadata.append(("grpc-status-details-bin", status.SerializeToString()))
        response = response_class()
    grpc_context.set_trailing_metadata(metadata)
    return response


def bind(settings: ServingSettings) -> Any:
    """The Serve application."""
    deployment: Any = serve.deployment(
        serve.ingress()(Replica),
        name=settings.project,
        num_replicas=settings.replicas,
        max_ongoing_requests=_MAX_ONGOING_REQUESTS,
        # Replicas are bound by what the machine has, not by what Ray counts.
        ray_actor_options={"num_cpus": 0},
        graceful_shutdown_wait_loop_s=0.1,
        graceful_shutdown_timeout_s=5,
    )
    return deployment.bind(settings.project, settings.store, settings.max_rows, settings.require_signature)
