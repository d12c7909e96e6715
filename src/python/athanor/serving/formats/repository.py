"""The model repository extension of the Open Inference Protocol: lists models, and answers load and unload.

Traffic files alone decide which releases are loaded. Load and unload let a replica follow a model's file at once, and
report what came of it: no caller brings a model of its own, or takes one from the others.

Standard: https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_model_repository.md
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

from athanor.contract.shown import shown
from athanor.errors import ConflictError, FieldViolation, InvalidRequestError, ModelNotFoundError, ReleaseError
from athanor.serving.answering.refusals import Violations
from athanor.serving.answering.repository import ModelState
from athanor.serving.formats.values import show
from inference import open_inference_pb2

_READY: Final = "READY"
_UNAVAILABLE: Final = "UNAVAILABLE"


def list_models(states: Iterable[ModelState], ready_only: bool = False) -> list[dict[str, str]]:
    """An entry for each version that answers, or for a model without one."""
    return [entry for state in states if state.is_ready or not ready_only for entry in _list_versions(state)]


def _list_versions(state: ModelState) -> Iterator[dict[str, str]]:
    shared = {"state": _READY if state.is_ready else _UNAVAILABLE, "reason": state.reason}
    for version in state.versions or ("",):
        yield {"name": state.name, "version": version, **shared}


def to_index(entries: Iterable[dict[str, str]]) -> open_inference_pb2.RepositoryIndexResponse:
    entry = open_inference_pb2.RepositoryIndexResponse.ModelIndex
    return open_inference_pb2.RepositoryIndexResponse(models=[entry(**given) for given in entries])


def check_loaded(state: ModelState) -> None:
    """Checks what came of a load.

    Raises:
        ModelNotFoundError: the model takes no traffic.
        ReleaseError: its releases cannot be loaded.
    """
    if state.is_ready:
        return
    if state.reason:
        raise ReleaseError(f"model {state.name!r} cannot be loaded: {state.reason}")
    raise ModelNotFoundError(
        f"model {state.name!r} takes no traffic; give it a champion: athanor registry promote {state.name} VERSION"
    )


def check_unloaded(state: ModelState) -> None:
    """Checks what came of an unload. Raises ConflictError if the model takes traffic."""
    if state.is_ready or state.reason:
        raise ConflictError(
            f"model {state.name!r} takes traffic, and is not unloaded while it does; withdraw it: athanor registry"
            f" withdraw {state.name} champion"
        )


def check_repository(name: str) -> None:
    """Raises InvalidRequestError if a request names a repository."""
    if name:
        violation = FieldViolation("repository_name", "UNSUPPORTED", f"is {shown(name)}; leave it empty")
        raise InvalidRequestError("the service has one repository, which has no name", (violation,))


def check_parameters(names: Iterable[str]) -> None:
    """Raises InvalidRequestError if a load brings a configuration or files, which Triton would load."""
    found = Violations()
    for name in names:
        found.add(f"parameters.{shown(name)}", "UNSUPPORTED", "is not supported; leave it out")
    found.raise_any("the service loads releases of its store, as they are")


def read_index_body(body: bytes) -> bool:
    """Whether a body asks only for models that are ready. Triton's own client sends an empty one.

    Raises:
        InvalidRequestError: it is no JSON object, or a member of it has the wrong type.
    """
    return bool(_read_member(body, "ready", bool, default=False))


def read_parameters(body: bytes) -> Iterable[str]:
    """The names of the parameters in a body. Raises as `read_index_body`."""
    return list(_read_member(body, "parameters", dict, default={}))


def _read_member(body: bytes, name: str, kind: type, default: Any) -> Any:
    try:
        members = json.loads(body) if body.strip() else {}
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError(f"the body is not valid JSON: {error}") from None
    if not isinstance(members, dict):
        raise InvalidRequestError(f"the body is {show(members)}; give an object")
    value = members.get(name)
    if value is None:
        return default
    if not isinstance(value, kind):
        allowed = "true or false" if kind is bool else "an object"
        raise InvalidRequestError(f"{name} is {show(value)}; give {allowed}")
    return value
