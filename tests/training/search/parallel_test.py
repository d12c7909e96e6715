"""Workers of a search end with the training, however it ends, and leave no shared memory."""

import os
from pathlib import Path
from typing import Final

import joblib
from support.forks import FORKS
from support.parallel_work import work_forever
from support.processes import find_descendants, list_processes, wait_until

from athanor.training.search.parallel import on_engine

_PATIENCE_S: Final = 60.0
_WORKERS: Final = 2


def _shared_memory(owner: int) -> list[Path]:
    return [*Path("/dev/shm").glob(f"joblib_memmapping_folder_{owner}_*")]  # noqa: S108 - where joblib puts it


def test_workers_end_with_a_killed_training_and_leave_nothing(tmp_path: Path) -> None:
    # A daemon could not start workers.
    training = FORKS.Process(target=work_forever, args=(tmp_path, _WORKERS))
    training.start()
    assert training.pid is not None
    assert wait_until(lambda: len([*tmp_path.iterdir()]) == _WORKERS, _PATIENCE_S)
    workers = find_descendants(training.pid)
    assert {int(path.name) for path in tmp_path.iterdir()} <= {process.pid for process in workers}
    assert _shared_memory(training.pid)
    training.kill()
    training.join()
    assert wait_until(lambda: not workers & set(list_processes()), _PATIENCE_S)
    assert wait_until(lambda: not _shared_memory(training.pid or 0), _PATIENCE_S)


def test_a_caller_may_keep_fits_in_this_process() -> None:
    with joblib.parallel_config(backend="sequential"), on_engine("local"):
        assert joblib.Parallel(n_jobs=2)(joblib.delayed(os.getpid)() for _ in range(2)) == [os.getpid()] * 2
