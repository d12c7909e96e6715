"""Generated code of a model, found by the model's name."""

import importlib
from typing import Any

from athanor.client.contract.method import PREDICT, PredictMethod, package_of
from athanor.errors import NotFoundError


def find_stubs(model: str) -> PredictMethod:
    """Imports the generated code of a model, by convention `<package>.<project>_pb2`.

    Raises:
        NotFoundError: there is no such code.
    """
    package = package_of(model)
    try:
        messages: Any = importlib.import_module(f"{package}.{package.partition('.')[0]}_pb2")
    except ModuleNotFoundError:
        raise NotFoundError(
            f"no generated stubs of {model!r} can be imported; read its contract from the service (from_reflection)"
        ) from None
    service = next(iter(messages.DESCRIPTOR.services_by_name.values()))
    return PredictMethod.of(service.methods_by_name[PREDICT])
