"""Projects in this binary, and what they declare.

A project is a package below `projects` whose modules each declare one value: `recipe.py` the RECIPE, `model.py` the
MODEL, and so on. A binary carries the modules that it was built with: serving carries models and no recipes.
"""

import importlib
import importlib.util
import pkgutil
from pathlib import PurePath
from traceback import extract_tb
from types import ModuleType
from typing import TypeVar

from athanor.errors import AthanorError, ContractError, NotFoundError

Declared = TypeVar("Declared")


def find_projects(module: str) -> tuple[str, ...]:
    """Names of the projects in this binary that have a module, sorted."""
    try:
        package = importlib.import_module("projects")
    except ModuleNotFoundError:
        return ()
    names = (info.name for info in pkgutil.iter_modules(package.__path__) if info.ispkg)
    return tuple(sorted(name for name in names if importlib.util.find_spec(f"projects.{name}.{module}")))


def require_project(project: str, module: str) -> None:
    """Raises NotFoundError if this binary carries no such project, or the project has no such module."""
    projects = find_projects(module)
    if project not in projects:
        known = ", ".join(projects) or "none"
        raise NotFoundError(
            f"this binary carries no project {project!r} with a module {module}.py; projects that have one: {known}"
        )


def _import(name: str) -> ModuleType:
    """Imports a module of a project. What its own code raises is the project's to mend, and no defect of ours."""
    try:
        return importlib.import_module(name)
    except AthanorError:
        raise
    except Exception as error:
        raise ContractError(
            f"{name} cannot be imported: {type(error).__name__}: {error}{_locate(error)}; correct it there"
        ) from error


def _locate(error: Exception) -> str:
    """The last line of a project that an error passed; "" if it passed none. A syntax error names its own."""
    frames = [frame for frame in extract_tb(error.__traceback__) if "projects" in PurePath(frame.filename).parts]
    return f", in line {frames[-1].lineno} of {PurePath(frames[-1].filename).name}" if frames else ""


def load(project: str, module: str, declared: type[Declared]) -> Declared:
    """Imports the value that `projects.<project>.<module>` declares under the module's name in capitals.

    Raises:
        NotFoundError: this binary carries no such project, or the project has no such module.
        ContractError: the module cannot be imported, or declares no such value.
    """
    require_project(project, module)
    value = getattr(_import(f"projects.{project}.{module}"), module.upper(), None)
    if not isinstance(value, declared):
        raise ContractError(
            f"projects.{project}.{module} must declare {module.upper()} as a {declared.__name__}; "
            f"it declares {'nothing by this name' if value is None else f'a {type(value).__name__}'}"
        )
    return value
