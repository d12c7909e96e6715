"""Budgets of each binary for libraries, size and start-up time, from 3rdparty/python/budgets.toml."""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from binaries.pex_file import MB, PexFile

FILE: Final = Path("3rdparty/python/budgets.toml")

# All below this line of the file is written by `write`, and read in reviews.
_RECORDED: Final = "# --- What the binaries hold"
_CULPRITS: Final = 5
_REWRITE: Final = ": if that is intended, run `./pants budgets`"


@dataclass(frozen=True)
class Budget:
    """Budget of one binary.

    Attributes:
        size_mb: of the file, in 10^6 bytes.
        without: distributions that it must never hold, recorded or not.
        cold_s, warm_s: `--help` at its first start on a machine, and later.
        ready_s: until its service answers; None for a binary without a service.
        distributions: all that it holds, with the megabytes of each when this was written.
    """

    size_mb: float
    without: tuple[str, ...]
    cold_s: float
    warm_s: float
    distributions: Mapping[str, float]
    ready_s: float | None = None


def read(text: str) -> dict[str, Budget]:
    """The budgets by the name of the binary."""
    tables = tomllib.loads(text)
    recorded = tables.pop("distributions")
    return {
        name: Budget(**{**table, "without": tuple(table["without"])}, distributions=recorded.get(name, {}))
        for name, table in tables.items()
    }


def problems(pex: PexFile, budget: Budget) -> Iterator[str]:
    """A sentence for each violation of a binary's budget, with the culprit's name and the remedy."""
    sizes = {found.name: found.size / MB for found in pex.distributions}
    recorded = budget.distributions
    for name in sorted(set(sizes) - set(recorded)):
        yield f"{pex.name}.pex holds {name} ({sizes[name]:.2f} MB), which is not in its list{_REWRITE}"
    for name in sorted(set(recorded) - set(sizes)):
        yield f"{pex.name}.pex no longer holds {name}, which is in its list{_REWRITE}"
    for name in sorted(set(budget.without) & set(sizes)):
        yield f"{pex.name}.pex holds {name}, which it must never hold{_decide(pex, 'without')}"
    if pex.size > budget.size_mb * MB:
        yield (
            f"{pex.name}.pex is {pex.size / MB:.1f} MB, over the limit of {budget.size_mb:g}; "
            f"grown most since the list was written: {_grown(sizes, recorded)}{_decide(pex, 'size_mb')}"
        )


def _decide(pex: PexFile, limit: str) -> str:
    return f": if that is intended, change `{limit}` of [{pex.name}] in {FILE} by hand, then run `./pants budgets`"


def _grown(sizes: Mapping[str, float], recorded: Mapping[str, float]) -> str:
    growth = {name: size - recorded.get(name, 0) for name, size in sizes.items()}
    most = sorted(growth, key=lambda name: growth[name], reverse=True)[:_CULPRITS]
    return ", ".join(f"{name} {growth[name]:+.2f} to {sizes[name]:.2f} MB" for name in most)


def write(text: str, pexes: list[PexFile]) -> str:
    """The text of the file with the binaries' current content. Limits do not change."""
    rules = text.partition(_RECORDED)[0]
    return rules + f"{_RECORDED}, in MB: `./pants budgets` writes this.\n" + "".join(map(_record, pexes))


def _record(pex: PexFile) -> str:
    lines = (f"{found.name} = {found.size / MB:.2f}\n" for found in pex.distributions)
    return f"\n[distributions.{pex.name}]\n" + "".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="./pants budgets", description="Packages binaries and records their content.")
    parser.add_argument("--dist", type=Path, required=True, help="the folder of the binaries; Pants gives it")
    parser.add_argument("--check", action="store_true", help="record nothing, only compare")
    options = parser.parse_args()
    text = FILE.read_text()
    # Without its binary, a budget would lose its list.
    pexes = [PexFile(options.dist / f"{name}.pex") for name in read(text)]
    if not options.check:
        text = write(text, pexes)
        FILE.write_text(text)
    failures = [problem for pex in pexes for problem in problems(pex, read(text)[pex.name])]
    print("\n".join(failures) or f"{FILE} matches the binaries")
    return 3 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
