"""Calls every operation of a service by a client that openapi-python-client makes from its OpenAPI document.

Exit status 0 when each call is answered as the document says, 1 when one is not: each difference is a line on standard
output.

The case is a JSON file: `token`, `parameters` (values of path parameters by name), `bodies` (the body of each operation
that takes one, by the name of its module) and `statuses` (of operations that do not answer with 200).
"""

import argparse
import importlib
import inspect
import json
import pkgutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Final, get_args, get_type_hints

from openapi_python_client.cli import app as generate

_PACKAGE: Final = "generated_client"


def generate_client(document: Path, folder: Path) -> ModuleType:
    """Makes the package beside others in a folder, and imports it."""
    config = folder / "config.json"
    # Formatters, which need not be installed.
    config.write_text(json.dumps({"post_hooks": []}))
    arguments = ["--path", document, "--meta", "none", "--output-path", folder / _PACKAGE, "--config", config]
    generate(["generate", "--fail-on-warning", *map(str, arguments)], standalone_mode=False)
    sys.path.insert(0, str(folder))
    return importlib.import_module(_PACKAGE)


def find_operations(package: ModuleType) -> Iterator[tuple[str, Callable[..., Any]]]:
    """The operations by the names of their modules."""
    api = importlib.import_module(f"{package.__name__}.api")
    for module in pkgutil.walk_packages(api.__path__, f"{api.__name__}."):
        if not module.ispkg:
            yield module.name.rpartition(".")[2], importlib.import_module(module.name).sync_detailed


def make_arguments(name: str, operation: Callable[..., Any], case: dict[str, Any]) -> dict[str, Any]:
    """What an operation must be called with; headers and the like are left out."""
    types = get_type_hints(operation)
    values = {parameter: case["parameters"].get(parameter) for parameter in inspect.signature(operation).parameters}
    # What may be left out is of no single type.
    arguments = {
        parameter: types[parameter](value) if isinstance(types[parameter], type) else value
        for parameter, value in values.items()
        if value is not None
    }
    if "body" in types:
        (body,) = [kind for kind in get_args(types["body"]) or (types["body"],) if hasattr(kind, "from_dict")]
        arguments["body"] = body.from_dict(case["bodies"][name])
    return arguments


def find_difference(response: Any, status: int) -> str | None:
    """Whether the answer is not the one that the document describes, with that status."""
    if response.status_code != status:
        return f"status {response.status_code.value}: {response.content[:500]!r}"
    if not response.headers["content-type"].startswith("application/json"):
        return None
    answer, read = json.loads(response.content), _to_json(response.parsed)
    if read is None:
        return f"is not of a described type: {response.content[:500]!r}"
    return None if read == answer else f"the client reads {read}, the service sent {answer}"


def _to_json(parsed: Any) -> Any:
    """What was sent for an object, or for a list of them; None for what has no type."""
    if isinstance(parsed, list):
        return [_to_json(each) for each in parsed]
    return parsed.to_dict() if hasattr(parsed, "to_dict") else None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("document", "case", "folder"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--url", required=True)
    options = parser.parse_args()
    case = json.loads(options.case.read_text())
    package = generate_client(options.document, options.folder)
    client = package.AuthenticatedClient(options.url, case["token"])
    found = {
        name: find_difference(
            operation(client=client, **make_arguments(name, operation, case)), case["statuses"].get(name, 200)
        )
        for name, operation in find_operations(package)
    }
    differences = [f"{name}: {difference}" for name, difference in found.items() if difference]
    summary = f"{len(found) - len(differences)} of {len(found)} operations answer as the document says"
    sys.stdout.write("\n".join([*differences, summary, ""]))
    return 1 if differences or not found else 0


if __name__ == "__main__":
    sys.exit(main())
