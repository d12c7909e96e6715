"""Which models the arguments of a command name: a project has one for each of its proto packages."""

import re
from typing import Final

from athanor.contract.evolution.packages import model_of_package, package_of_model, project_of_model
from athanor.errors import NotFoundError
from athanor.registry.reading import match
from athanor.registry.registry import Registry

_SEMANTIC_VERSION: Final = r"(\d+)\.\d+\.\d+"


def find_models(registry: Registry, name: str) -> list[str]:
    """The models that a name stands for, by major version.

    Args:
        name: a project, for all its models; or a model or proto package, such as `rain.v2` or `rain.v1`.
    """
    if name != project_of_model(name):
        return [model_of_package(name)]
    known = {*registry.list_models(), *registry.store.list_models()}
    # `rain`, `rain.v2`, `rain.v10`.
    return sorted((model for model in known if project_of_model(model) == name), key=lambda model: (len(model), model))


def find_model(registry: Registry, name: str, reference: str = "") -> str:
    """The one model that a command is about.

    Args:
        name: as in `find_models`. A project alone stands for the model of its first proto package, unless the reference
            is of another.
        reference: a semantic version, whose major names the proto package; or the beginning of a digest.

    Raises:
        NotFoundError: releases of several models begin with the reference, or the project has only later models.
    """
    version, models = re.fullmatch(_SEMANTIC_VERSION, reference), find_models(registry, name)
    if version and name == project_of_model(name):
        return model_of_package(f"{name}.v{version[1]}")
    if reference and models:
        return _find_by_digest(registry, models, reference)
    model = model_of_package(name)
    if models and model not in models:
        raise NotFoundError(
            f"{name} has no releases of the proto package {package_of_model(name)}; name one of its models: "
            f"{', '.join(models)}"
        )
    return model


def _find_by_digest(registry: Registry, models: list[str], reference: str) -> str:
    found = [model for model in models if match(registry.list_assigned(model), reference)]
    if len(found) > 1:
        raise NotFoundError(f"releases of {', '.join(found)} begin with {reference}; name one of these models")
    # Without a match, the first one reports it.
    return (found or models)[0]
