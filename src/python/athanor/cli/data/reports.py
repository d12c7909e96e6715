"""Commands of the layer `data` that profile, validate and measure drift; each writes JSON and a page."""

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group, RenderableType

from athanor.cli.data.jobs import AsOfOption, EngineChoice, EngineName, EngineOption, FullOption, load_job, make_options
from athanor.cli.shared.clusters import AddressOption, RayTokenOption
from athanor.cli.shared.plain import plain
from athanor.cli.shared.terminal import (
    HomeOption,
    JsonOption,
    ProjectArgument,
    facts,
    listing,
    out,
    show,
    to_json,
    watch,
)
from athanor.errors import GateError
from athanor.home import Home

if TYPE_CHECKING:
    from athanor.contract.contract import Contract
    from athanor.data.checks.findings import Finding
    from athanor.data.profiles.drift import ColumnDrift, DriftReport, Statistic
    from athanor.data.profiles.profile import Profile
    from athanor.data.report.page import DataReport

SnapshotOption = Annotated[int | None, typer.Option(help="Version of the dataset; the latest by default.")]
SinceOption = Annotated[str | None, typer.Option(help="First event time, UTC: 2013-09-01.")]
UntilOption = Annotated[str | None, typer.Option(help="End of event times, UTC, exclusive.")]
_AGAINST = "Compare with a version (3), a slice of time of the latest (2013-09-01..2013-10-01), or a file."
AgainstOption = Annotated[str | None, typer.Option(help=_AGAINST)]
OutputOption = Annotated[Path | None, typer.Option(help="Folder of the page and its JSON; in the home by default.")]


def profile(
    project: ProjectArgument,
    *,
    snapshot: SnapshotOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    against: AgainstOption = None,
    output: OutputOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Describe a version or a slice of time, on a page and in JSON."""
    from athanor.data.profiles.references import profile_committed, read_reference
    from athanor.data.report.page import DataReport

    root, contract = Home.find(home), load_job(project).contract
    chosen = _choose(contract, root, snapshot, since, until)
    with watch() as progress:
        own = profile_committed(contract, chosen, progress)
        name, reference = read_reference(contract, root.datasets, against, progress) if against else ("", None)
        report = DataReport(
            title=f"{project}: {chosen.name}",
            facts=_describe(asdict(chosen.snapshot), own),
            contract_columns=contract.dataset_columns,
            findings=(),
            profile=own,
            reference=reference,
            reference_name=name,
            drift=_measure(contract, reference, own),
        )
        page = _write(report, output or root.reports / project, "profile", progress)
    header = ("column", "missing", "distinct", "mean", "from", "to")
    table = listing(report.title, header, [_summary(n, c) for n, c in own.columns.items()])
    _show(report, json, table, page)


def validate(
    project: ProjectArgument,
    *,
    engine: EngineOption = EngineName.PANDAS,
    address: AddressOption = None,
    ray_token_file: RayTokenOption = None,
    full: FullOption = False,
    as_of: AsOfOption = None,
    against: AgainstOption = None,
    output: OutputOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Do everything `build` does except the commit. Exit status 2 if the data is refused, 3 if it drifted.

    Compares with the latest version under this contract, if there is one. Only drift from --against fails.
    """
    from athanor.data.building.snapshot_build import stage_build
    from athanor.data.profiles.references import profile_committed
    from athanor.data.report.page import DataReport

    root, job = Home.find(home), load_job(project)
    with ExitStack() as stack:
        progress = stack.enter_context(watch())
        folder = output or root.reports / project
        choice = EngineChoice(engine, address, ray_token_file)
        options = make_options(stack, project, choice, root, is_full=full, as_of=as_of, quarantine=folder)
        staged = stack.enter_context(stage_build(job.contract, job.dataset, root, progress, options))
        own = profile_committed(job.contract, staged.staged, progress)
        name, reference = _find_reference(job.contract, root, against, progress)
        report = DataReport(
            title=f"{project}: validation",
            facts=_describe(asdict(staged.origin), own),
            contract_columns=job.contract.dataset_columns,
            findings=staged.findings,
            notes=staged.notes,
            profile=own,
            reference=reference,
            reference_name=name,
            drift=_measure(job.contract, reference, own),
        )
        page = _write(report, folder, "validate", progress)
    _show(report, json, _findings_table(report.findings), page)
    staged.raise_if_refused()
    if against and report.drift:
        demand_no_drift(report.drift)


def drift(
    project: ProjectArgument,
    against: Annotated[str, typer.Option(help=_AGAINST)],
    *,
    snapshot: SnapshotOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Measure the drift of a version or a slice of time from another. Exit status 3 on drift beyond the budgets."""
    from athanor.data.profiles.drift import measure_drift
    from athanor.data.profiles.references import profile_committed, read_reference

    root, contract = Home.find(home), load_job(project).contract
    chosen = _choose(contract, root, snapshot, since, until)
    with watch() as progress:
        name, reference = read_reference(contract, root.datasets, against, progress)
        own = profile_committed(contract, chosen, progress)
    report = measure_drift(contract, reference, own)
    show(report, json, lambda: drift_table(f"Drift of {project}, {chosen.name}, from {name}", report))
    demand_no_drift(report)


def drift_table(title: str, report: "DriftReport") -> RenderableType:
    """One row per column: each statistic with its budget, drifted columns first."""
    from athanor.data.profiles.drift import Statistic

    headings = {
        "stability index": (Statistic.POPULATION_STABILITY,),
        "distance": (Statistic.KOLMOGOROV_SMIRNOV, Statistic.JENSEN_SHANNON),
        "missing": (Statistic.MISSING_RATE,),
        "true": (Statistic.TRUE_RATE,),
    }
    by_column: dict[str, list[ColumnDrift]] = {}
    for found in report.columns:
        by_column.setdefault(found.column, []).append(found)
    rows = [
        (name, *(_cell(measured, statistics) for statistics in headings.values()), _verdict(measured))
        for name, measured in by_column.items()
    ]
    if not rows:
        return facts(title, {"nothing compared": "no column has a drift budget"})
    return listing(title, ("column", *headings, "drifted"), rows)


def _cell(measured: "Sequence[ColumnDrift]", statistics: "Sequence[Statistic]") -> str:
    found = [m for m in measured if m.statistic in statistics]
    return f"{found[0].value:.3f} of {found[0].budget:g}" if found else ""


def _verdict(measured: "Sequence[ColumnDrift]") -> str:
    return "yes" if any(m.has_drifted for m in measured) else "no"


def demand_no_drift(report: "DriftReport") -> None:
    """Raises GateError, with their names, if columns drifted."""
    if found := dict.fromkeys(d.column for d in report.columns if d.has_drifted):
        raise GateError(f"columns drifted beyond the contract's budgets: {', '.join(found)}")


def _choose(contract: "Contract", home: Home, version: int | None, since: str | None, until: str | None) -> Any:
    from athanor.data.profiles.references import TimeSlice, parse_moment
    from athanor.data.snapshots.snapshot import find_snapshot

    snapshot = find_snapshot(contract.name, home.datasets, version)
    bounds = (parse_moment(moment) if moment else None for moment in (since, until))
    return TimeSlice(contract, home.datasets, snapshot, *bounds)


def _find_reference(
    contract: "Contract", home: Home, against: str | None, progress: Any
) -> "tuple[str, Profile | None]":
    from athanor.data.profiles.references import read_reference
    from athanor.data.snapshots.snapshot import is_whole, latest_snapshot

    latest = latest_snapshot(contract.name, home.datasets)
    if against is None and latest and latest.contract == contract.fingerprint and is_whole(home.datasets, latest):
        against = str(latest.version)
    return read_reference(contract, home.datasets, against, progress) if against else ("", None)


def _measure(contract: "Contract", reference: "Profile | None", own: "Profile") -> "DriftReport | None":
    from athanor.data.profiles.drift import measure_drift

    return measure_drift(contract, reference, own) if reference is not None else None


def _describe(record: Mapping[str, Any], own: "Profile") -> dict[str, str]:
    """Facts about the whole dataset, for the page."""
    given = {name.replace("_", " "): value for name, value in record.items() if value not in ("", None, {}, 0)}
    reasons = given.pop("rejected", {})
    return {
        "rows": f"{own.rows:,}",
        **{
            name: f"{value:,}" if isinstance(value, int) and name != "version" else str(value)
            for name, value in given.items()
        },
        **{f"rejected, {reason}": f"{count:,}" for reason, count in reasons.items()},
    }


def _write(report: "DataReport", folder: Path, name: str, progress: Any) -> Path:
    from athanor.data.report.page import write_report
    from athanor.system.atomic import rename_file, temporary_folder
    from athanor.system.named_errors import naming

    with progress.step("Write the page") as advance, temporary_folder(folder) as arriving, naming(folder):
        write_report(arriving / f"{name}.html", report)
        (arriving / f"{name}.json").write_text(to_json(_plain(report)))
        # Both or none: on a full disk, only a page of before has its JSON.
        for path in arriving.iterdir():
            rename_file(path, folder / path.name)
        advance(str(folder))
    return folder / f"{name}.html"


def _plain(report: "DataReport") -> dict[str, Any]:
    """The report as JSON."""
    import json

    return {
        "title": report.title,
        "facts": dict(report.facts),
        "refused": any(finding.refuses for finding in report.findings),
        "findings": [asdict(finding) for finding in report.findings],
        "notes": [asdict(note) for note in report.notes],
        "drift": asdict(report.drift) if report.drift else None,
        "profile": json.loads(report.profile.to_json()),
    }


def _show(report: "DataReport", as_json: bool, table: RenderableType, page: Path) -> None:
    tables: list[RenderableType] = [table]
    if report.notes:
        tables.append(facts("Notes", {note.rule: note.message for note in report.notes}))
    if report.drift is not None:
        tables.append(drift_table(f"Drift from {report.reference_name}", report.drift))
    show(_plain(report), as_json, lambda: Group(*tables))
    if not as_json:
        out.print(f"Page: {plain(page)}", highlight=False, soft_wrap=True)


def _findings_table(findings: "Sequence[Finding]") -> RenderableType:
    if not findings:
        return facts("No findings", {})
    header = ("", "column", "rule", "rows", "share", "example")
    rows = [
        (
            "refused" if f.refuses else "rejected",
            f.column,
            f.rule,
            f"{f.count:,}",
            "" if math.isnan(f.share) else f"{f.share:.2%}",
            "\n".join(f.samples) or f.message,
        )
        for f in findings
    ]
    return listing("Findings", header, rows)


def _summary(name: str, column: Any) -> tuple[str, ...]:
    missing = f"{column.missing / column.rows:.2%}" if column.rows else "-"
    if hasattr(column, "knots"):
        low, high = (f"{column.knots[end]:.6g}" for end in (0, -1)) if column.present else ("-", "-")
        return name, missing, f"{len(column.knots):,}", f"{column.mean:.6g}", low, high
    if hasattr(column, "categories"):
        return name, missing, f"{column.distinct:,}", "-", *column.categories[:1], *column.categories[-1:]
    return name, missing, "-", "-", str(column.first), str(column.last)
