"""Commands about contracts: check them, and compare them with an earlier revision or a release."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Group, RenderableType

from athanor.cli.shared.terminal import HomeOption, JsonOption, err, listing, make_app, show, watch
from athanor.errors import ContractError, GateError, NotFoundError
from athanor.home import Home

if TYPE_CHECKING:
    from athanor.cli.contract.evolution import Evolution
    from athanor.contract.contract import Contract

_PROTOS: Final = Path("src/protos")
_NO_BASE: Final = "this repository has no origin/main or main that shares a commit with HEAD; name one by --against"
_MEANING: Final = {
    "new": "no caller relies on it yet",
    "removed": "its releases keep their contract, and answer until they are withdrawn",
    "same": "",
}

app = make_app("contract", "Check contracts, and compare them with earlier ones.")


@app.command()
def check(
    projects: Annotated[list[str] | None, typer.Argument(help="Names of projects; all by default.")] = None,
    against: Annotated[
        str | None,
        typer.Option(
            help="Git revision, or release: digest or its prefix, flight_delay/1.0.0, a version of each project such "
            "as 1.0.0, or champion. By default the merge base with origin/main or main."
        ),
    ] = None,
    protos: Annotated[
        Path | None,
        typer.Option(help="Folder that holds <project>/v1/<project>.proto; src/protos of this repository by default."),
    ] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Check contracts. Exit status 3 if one breaks callers or stored rows of an earlier one in its proto package."""
    from athanor.cli.contract.earlier import find_earlier
    from athanor.cli.contract.evolution import compare_packages
    from athanor.contract.evolution.packages import project_of_model

    root = _find_protos(protos)
    with watch() as progress:
        with progress.step("Read the contracts"):
            now = _read(root, projects or ())
        with progress.step("Read the earlier contracts"):
            names = projects or sorted(set(map(project_of_model, now)))
            earlier = find_earlier(root, names, against, Home.find(home), progress)
    covered = earlier.projects if earlier else ()
    wires = {package: contract.wire for package, contract in now.items() if project_of_model(package) in covered}
    evolutions = tuple(compare_packages(earlier.contracts, wires)) if earlier else ()
    name = earlier.name if earlier else None
    contracts = [_describe(contract) for contract in now.values()]
    result = {"against": name, "contracts": contracts, "packages": list(map(_as_json, evolutions))}
    show(result, json, lambda: _tables(contracts, name, evolutions))
    if earlier is None:
        err.print(f"Compared with nothing: {_NO_BASE}", soft_wrap=True)
    _refuse_breaking(str(name), evolutions)


def _find_protos(given: Path | None) -> Path:
    """The folder of the .proto files, from this folder or one above it."""
    if given is not None:
        if not given.is_dir():
            raise NotFoundError(f"--protos {given} is no folder; give the one that holds <project>/v1/<project>.proto")
        return given
    here = Path.cwd()
    found = next((each / _PROTOS for each in (here, *here.parents) if (each / _PROTOS).is_dir()), None)
    if found is None:
        raise NotFoundError(f"there is no {_PROTOS} in {here} or above it; run this in a repository, or give --protos")
    return found


def _read(root: Path, projects: Sequence[str]) -> "dict[str, Contract]":
    """Contracts by proto package. Raises ContractError with the problems of all of them."""
    from athanor.contract.evolution.sources import compile_contract, find_protos, package_at

    found, problems = {}, []
    for path in find_protos(root, projects):
        try:
            found[package_at(path)] = compile_contract(path, root)
        except ContractError as error:
            problems.append(str(error))
    if problems:
        raise ContractError("\n".join(problems))
    return found


def _describe(contract: "Contract") -> dict[str, Any]:
    return {
        "package": contract.service.file.package,
        "columns": len(contract.columns),
        "label": contract.label.name,
        "fingerprint": contract.fingerprint,
    }


def _as_json(evolution: "Evolution") -> dict[str, Any]:
    changes = [{**asdict(change), "level": change.level.value} for change in evolution.changes]
    return {**asdict(evolution), "state": evolution.state.value, "changes": changes}


def _tables(
    contracts: Sequence[Mapping[str, Any]], name: str | None, evolutions: Sequence["Evolution"]
) -> RenderableType:
    held = [(one["package"], one["columns"], one["label"], one["fingerprint"][:12]) for one in contracts]
    tables = [listing("Contracts", ("package", "columns", "label", "fingerprint"), held)]
    if name is not None:
        rows = [row for evolution in evolutions for row in _list_rows(evolution)]
        tables.append(listing(f"Compared with {name}", ("package", "", "change", "remedy"), rows))
    return Group(*tables)


def _list_rows(evolution: "Evolution") -> list[tuple[str, str, str, str]]:
    rows = [(evolution.package, change.level.value, str(change), change.remedy) for change in evolution.changes]
    return rows or [(evolution.package, evolution.state.value, evolution.reason or _MEANING[evolution.state.value], "")]


def _refuse_breaking(name: str, evolutions: "Sequence[Evolution]") -> None:
    """Raises GateError if a proto package breaks its callers or stored rows."""
    from athanor.contract.evolution.compatibility import list_breaking
    from athanor.contract.evolution.packages import next_package

    broken = [
        f"{evolution.package} by {len(found)} change{'s' if found[1:] else ''} (follow each remedy, or declare the "
        f"contract as {next_package(evolution.package)})"
        for evolution in evolutions
        if (found := list_breaking(evolution.changes))
    ]
    if broken:
        raise GateError(f"callers or stored rows of {name} break: {'; '.join(broken)}")
