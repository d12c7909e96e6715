"""Progress bars of the command-line apps, in a module of their own because help and versions do not load them."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Column

from athanor.cli.shared.plain import plain
from athanor.progress import Advance


class TerminalProgress:
    """One progress bar per step. Implements `athanor.progress.Progress`."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars

    @contextmanager
    def step(self, description: str, total: int = 1) -> Iterator[Advance]:
        task = self._bars.add_task(plain(description), total=total, words="")
        done = 0

        def advance(words: str, amount: int = 1) -> None:
            nonlocal done
            done += amount
            # The last unit is counted when the step ends: only a finished step has a full bar.
            self._bars.update(task, completed=min(done, total - 1), words=plain(words))

        try:
            yield advance
        except BaseException:
            self._fail(task)
            raise
        self._bars.update(task, completed=total)

    def _fail(self, task: TaskID) -> None:
        self._bars.update(task, words="[red]failed")
        self._bars.stop_task(task)


def make_bars(console: Console) -> Progress:
    """Context manager that shows the bars, with their columns."""
    columns = (
        SpinnerColumn(finished_text="[green]✓"),
        TextColumn("{task.description}", table_column=Column(no_wrap=True)),
        BarColumn(bar_width=12),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        # Cut here if the line is too long, so that the other columns stay whole.
        TextColumn("[dim]{task.fields[words]}", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)),
    )
    return Progress(*columns, console=console, expand=True)
