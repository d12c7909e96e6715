"""`show`: everything that is in force of a project's recipe."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Group, RenderableType

from athanor.cli.shared.terminal import JsonOption, ProjectArgument, facts, listing, show
from athanor.projects import load


def show_recipe(project: ProjectArgument, *, json: JsonOption = False) -> None:
    """Show everything in force of a recipe: task, split, folds, candidates, gates and what else training uses."""
    from athanor.training.description import describe_recipe
    from athanor.training.recipe import Recipe

    found = describe_recipe(load(project, "recipe", Recipe))
    show({"project": project, **found}, json, lambda: _draw(project, found))


def _draw(project: str, found: Mapping[str, Any]) -> RenderableType:
    candidates = [
        (each["name"], each["pipeline"], "; ".join(_list_arguments(each["space"])) or "nothing to search")
        for each in found["candidates"]
    ]
    tables = [
        facts(f"Recipe of {project}", dict(_list_facts(found))),
        listing("Candidates", ("name", "pipeline", "searched parameters"), candidates),
        _draw_gates("Gates", found["gates"]),
    ]
    if found["refit"]:
        tables.append(_draw_gates("Gates after the refit", found["gates_after_refit"]))
    return Group(*tables)


def _draw_gates(title: str, gates: list[Mapping[str, Any]]) -> RenderableType:
    rows = [(gate["name"], gate["kind"], ", ".join(_list_arguments(gate))) for gate in gates]
    return listing(title, ("gate", "kind", "bounds"), rows)


def _list_arguments(given: Mapping[str, Any]) -> Iterator[str]:
    for name, value in given.items():
        if name not in ("name", "kind") and value is not None:
            yield f"{name.rpartition('__')[2]} {_write(value)}"


def _list_facts(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    split, folds = found["split"], found["folds"]
    shown = {
        **{name: found[name] for name in ("model", "task", "label", "answer", "event_time", "group", "weight")},
        "split": f"{split['kind']}({', '.join(_list_arguments(split))})",
        "folds": f"{folds['count']}, {'each later than what it is fitted on' if folds['by_time'] else 'random'}",
        "trials": found["trials"] or "all combinations",
        **{name: found[name] for name in ("scoring", "metrics", "calibrate", "coverage", "baseline", "slices")},
        "refit": "on all rows, after the gates" if found["refit"] else "no",
        "seed": found["seed"],
    }
    for name, value in shown.items():
        default = " (default)" if name in found["defaults"] else ""
        yield name.replace("_", " "), f"{_write(value)}{default}"
    if lists := [name for name in ("candidates", "gates") if name in found["defaults"]]:
        yield "by default too", ", ".join(lists)


def _write(value: Any) -> str:
    if value is None or value == []:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
