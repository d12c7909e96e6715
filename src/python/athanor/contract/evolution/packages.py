"""Proto packages: each is a model of its own, and its number is the major version of its releases.

The package `flight_delay.v1` makes the model `flight_delay`, with releases 1.0.0, 1.0.1 and so on; `flight_delay.v2`
makes the model `flight_delay.v2`, with releases 2.0.0, 2.0.1 and so on.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from athanor.errors import ContractError

# As googleapis and buf name stable packages. `v1beta1` and the like make no promise to callers.
_STABLE: Final = re.compile(r".+\.v([1-9][0-9]*)")
_VERSIONED: Final = re.compile(r"(.+)\.v[0-9]\w*")
_FIRST: Final = ".v1"


def package_of(wire: Mapping[str, Any]) -> str:
    """The proto package of a contract, "flight_delay.v1".

    Args:
        wire: `Contract.wire`.
    """
    service: str = wire["method"].partition("/")[0]
    return service.rpartition(".")[0]


def model_of_package(package: str) -> str:
    """The name of the model of a proto package.

    Callers of the first package name the project alone; callers of a later one must say so.

    >>> [model_of_package(package) for package in ("flight_delay.v1", "flight_delay.v2", "flight_delay.v2beta1")]
    ['flight_delay', 'flight_delay.v2', 'flight_delay.v2beta1']
    """
    return package.removesuffix(_FIRST)


def package_of_model(model: str) -> str:
    """The proto package of a model; the inverse of `model_of_package`. A package names its model too.

    >>> [package_of_model(model) for model in ("flight_delay", "flight_delay.v1", "flight_delay.v2")]
    ['flight_delay.v1', 'flight_delay.v1', 'flight_delay.v2']
    """
    return model if _VERSIONED.fullmatch(model) else f"{model}{_FIRST}"


def project_of_model(model: str) -> str:
    """The project that declares a model, or a proto package.

    >>> [project_of_model(model) for model in ("flight_delay", "flight_delay.v2")]
    ['flight_delay', 'flight_delay']
    """
    found = _VERSIONED.fullmatch(model)
    return found[1] if found else model


def major_of(package: str) -> int:
    """The number of a proto package, which is the major version of its releases.

    Raises:
        ContractError: the package has no number, or is unstable.

    >>> major_of("flight_delay.v2")
    2
    >>> major_of("flight_delay.v2beta1")
    Traceback (most recent call last):
    athanor.errors.ContractError: proto package 'flight_delay.v2beta1' has no major version: ...
    """
    found = _STABLE.fullmatch(package)
    if found is None:
        project = package.split(".", maxsplit=1)[0] or "flight_delay"
        raise ContractError(
            f"proto package {package!r} has no major version: it must end in v1, v2 and so on, not in v1beta1 or the "
            f"like, since callers rely on its releases; declare `package {project}.v1`"
        )
    return int(found[1])


def next_package(package: str) -> str:
    """The package of changes that break this one: "flight_delay.v2" after "flight_delay.v1"."""
    major = major_of(package)
    return f"{package.removesuffix(str(major))}{major + 1}"
