"""Commands about one release: evaluate it, and verify that it can be rebuilt."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Group

from athanor.cli.registry.opening import open_registry
from athanor.cli.shared.terminal import HomeOption, JsonOption, facts, listing, show, watch
from athanor.errors import GateError, NotFoundError
from athanor.home import Home
from athanor.projects import find_projects, load

if TYPE_CHECKING:
    from athanor.progress import Progress
    from athanor.release.files import Release
    from athanor.release.store import ReleaseStore
    from athanor.training.recipe import Recipe
    from athanor.training.train.verification import Verification

_SHORTEST: Final = 6

ReleaseArgument = Annotated[
    str, typer.Argument(help="Digest or its prefix, flight_delay/1.0.0, or flight_delay for its champion.")
]


def find_release(reference: str, home: Home, progress: "Progress") -> "Release":
    """The release of a reference.

    Args:
        reference: a digest or its prefix, `<project>/<version>`, or a project for its champion.

    Raises:
        NotFoundError: there is no such release, or more than one.
        ReleaseError: the release is corrupted.
    """
    from athanor.contract.evolution.packages import model_of_package, project_of_model
    from athanor.release.store import ReleaseStore

    store = ReleaseStore(home.store_url)
    name, _, version = reference.partition("/")
    if version:
        registry = open_registry(home, progress)
        from athanor.cli.registry.models import find_version

        found = find_version(registry, name, version)
        return store.read(found.model, found.digest)
    if project_of_model(name) in find_projects("model"):
        model = model_of_package(name)
        return store.read(model, store.read_traffic(model).require_champion().digest)
    return _find_by_digest(reference, home, store)


def _find_by_digest(reference: str, home: Home, store: "ReleaseStore") -> "Release":
    from athanor.release.files import read_release

    published = {
        (model, digest)
        for model in store.list_models()
        for digest in store.list_digests(model)
        if digest.startswith(reference)
    }
    written = {(path.parent.name, path.name) for path in home.candidates.glob(f"*/{reference}*") if path.is_dir()}
    found = sorted(published | written)
    if len(found) != 1 or len(reference) < _SHORTEST:
        raise NotFoundError(
            f"{len(found)} releases in {home.path} begin with {reference!r}; give at least {_SHORTEST} digits of one, "
            "<project>/<version>, or a project for its champion"
        )
    model, digest = found[0]
    return store.read(model, digest) if found[0] in published else read_release(home.candidates / model / digest)


def _load_recipe(release: "Release") -> "Recipe":
    """The recipe of a release's project. Raises NotFoundError if that declares another model by now."""
    from athanor.contract.evolution.packages import project_of_model
    from athanor.training.recipe import Recipe

    model, commit = release.identity.model, release.manifest.provenance.commit
    project = project_of_model(model)
    recipe = load(project, "recipe", Recipe)
    if recipe.model.name != model:
        raise NotFoundError(
            f"project {project} declares the model {recipe.model.name}, and release {release.digest[:12]} is of "
            f"{model}; check out {commit or 'the commit'} that trained it"
        )
    return recipe


def evaluate(
    release: ReleaseArgument,
    snapshot: Annotated[int | None, typer.Option(help="Version of the dataset; the latest by default.")] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Evaluate a release on the held-out rows of a snapshot: metrics with intervals, overall and by slice."""
    from athanor.data.snapshots.snapshot import find_snapshot
    from athanor.training.train.release_evaluation import evaluate_release

    root = Home.find(home)
    with watch() as progress:
        meant = find_release(release, root, progress)
        found = evaluate_release(
            _load_recipe(meant),
            meant,
            find_snapshot(meant.identity.model, root.datasets, snapshot),
            root,
            progress,
        )
    metrics = [(name, f"{of.value:.4f}", f"{of.low:.4f} to {of.high:.4f}") for name, of in found.metrics.items()]
    slices = [
        (row.slice, row.value, f"{row.rows:,}", _label(row.label), *map(_format, row.metrics.values()))
        for row in found.slices
    ]
    title = f"Release {found.digest[:12]} on {found.rows:,} rows of snapshot {found.snapshot[:12]}"
    header = ("slice", "", "rows", "label", *found.metrics)
    show(
        found,
        json,
        lambda: Group(listing(title, ("metric", "value", "95 % interval"), metrics), listing("Slices", header, slices)),
    )


def _label(numbers: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in numbers.items())


def _format(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.4f}"


def verify(
    release: ReleaseArgument,
    tolerance: Annotated[
        float | None,
        typer.Option(min=0, help="Largest accepted difference of an answer to a reference row."),
    ] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Parallel fits; one per core by default.")] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Rebuild a release from its manifest and compare. Exit status 3, with the causes, if it differs."""
    from athanor.training.train.verification import verify as verify_release

    root = Home.find(home)
    with watch() as progress:
        meant = find_release(release, root, progress)
        found = verify_release(_load_recipe(meant), meant, root, progress, jobs)
    result = {**asdict(found), "is_same": found.is_same, "causes": found.causes}
    show(result, json, lambda: _verification_table(found))
    _demand_same(found, tolerance)


def _verification_table(found: "Verification") -> Group:
    rows = [
        (part.name, "same" if part.is_same else f"DIFFERS ({part.cause or 'for information'})", part.then, part.now)
        for part in found.parts
    ]
    verdict = "the same" if found.is_same else f"different: {', '.join(found.causes)}"
    return Group(
        listing(f"Release {found.digest[:12]}, rebuilt", ("part", "", "original", "rebuilt"), rows),
        facts(
            "",
            {
                "verdict": verdict,
                "original digest": found.digest,
                "rebuilt digest": found.digest_now,
                "largest difference of an answer": f"{found.largest_difference:.3g}",
            },
        ),
    )


def _demand_same(found: "Verification", tolerance: float | None) -> None:
    """Raises GateError unless the release is the same, or only its numbers differ, within the tolerance."""
    if found.is_same:
        return
    causes = ", ".join(found.causes)
    if tolerance is not None and found.causes == ("numerics",) and found.largest_difference <= tolerance:
        return
    allowed = "" if tolerance is None else f"; allowed: {tolerance:g}"
    raise GateError(
        f"release {found.digest[:12]} was rebuilt as {found.digest_now[:12]}; differences: {causes}; "
        f"largest difference of an answer: {found.largest_difference:.3g}{allowed}"
    )
