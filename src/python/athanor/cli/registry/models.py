"""Which models the arguments of a command name: a project has one for each of its proto packages."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from athanor.contract.evolution.packages import model_of_package, package_of_model, project_of_model
from athanor.errors import NotFoundError
from athanor.registry.history import Registered
from athanor.registry.reading import match
from athanor.registry.registry import Registry

_SEMANTIC_VERSION: Final = r"(\d+)\.\d+\.\d+"


def select_models(known: Iterable[str], name: str) -> list[str]:
    """The models that a name stands for, by major version; the name itself if none is known.

    Args:
        name: a project, for all its models; or a model or proto package, such as `rain.v2` or `rain.v1`.

    >>> select_models(["rain.v10", "rain.v2", "rain", "rainbow"], "rain")
    ['rain', 'rain.v2', 'rain.v10']
    >>> select_models(["rain.v10", "rain.v2", "rain", "rainbow"], "rain.v1")
    ['rain']
    """
    if name != project_of_model(name):
        return [model_of_package(name)]
    found = {model for model in known if project_of_model(model) == name} or {name}
    return sorted(found, key=lambda model: (len(model), model))


def find_models(registry: Registry, name: str) -> list[str]:
    """As `select_models`, of the models that are registered or published."""
    return select_models([*registry.list_models(), *registry.store.list_models()], name)


def find_candidate_models(candidates: Path, name: str) -> list[str]:
    """As `select_models`, of the models that training wrote a release of."""
    return select_models([path.name for path in candidates.glob("*")], name)


def find_model(registry: Registry, name: str, reference: str = "") -> str:
    """The one model that a command is about.

    Args:
        name: as in `select_models`. A project stands for the model of its first proto package, unless the reference is
            of another.
        reference: a semantic version, whose major names the proto package; or the beginning of a digest.

    Raises:
        NotFoundError: releases of several models begin with the reference, or the project has only later models.
    """
    version = re.fullmatch(_SEMANTIC_VERSION, reference)
    if version and name == project_of_model(name):
        return model_of_package(f"{name}.v{version[1]}")
    models, first = find_models(registry, name), model_of_package(name)
    if reference:
        return _find_by_digest(registry, models, reference)
    if first not in models:
        raise NotFoundError(
            f"{name} has no releases of the proto package {package_of_model(name)}; name one of its models: "
            f"{', '.join(models)}"
        )
    return first


def find_version(registry: Registry, name: str, reference: str) -> Registered:
    """The version of a name and a reference, as in `find_model`. Raises NotFoundError if no version matches."""
    return registry.find_version(find_model(registry, name, reference), reference)


def _find_by_digest(registry: Registry, models: list[str], reference: str) -> str:
    found = [model for model in models if match(registry.list_assigned(model), reference)]
    if len(found) > 1:
        raise NotFoundError(f"releases of {', '.join(found)} begin with {reference}; name one of these models")
    # Without a match, the first one reports it.
    return (found or models)[0]
