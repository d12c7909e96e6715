"""MLServer with its scikit-learn runtime, asked over gRPC.

As installed it hands each request to one worker process. At its best it computes in its own process, without access
log, metrics or compression; and, where many wait, it gathers them (`max_batch_size`, `max_batch_time`), for which a
single caller waits in vain: so it stands here with and without that.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

from mlserver.cli import main  # type: ignore[import-untyped]

from serving.comparison.peer import Task, Way, read_task

_BEST_SERVER: Final = {
    "parallel_workers": 0,
    "debug": False,
    "metrics_endpoint": None,
    "gzip_enabled": False,
}
_BATCHING: Final = {"max_batch_size": 32, "max_batch_time": 0.02}


def write_settings(task: Task) -> None:
    """Writes the two files that MLServer reads from its folder."""
    server: dict[str, Any] = {
        "host": "127.0.0.1",
        "grpc_port": task.port,
        "http_port": task.port + 1,
        "metrics_port": task.port + 2,
        "metrics_dir": str(task.folder),
    }
    model: dict[str, Any] = {
        "name": "pipeline",
        "implementation": "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": str(task.pipeline), "content_type": "pd", "extra": {"predict_fn": "predict_proba"}},
    }
    if task.way is not Way.AS_INSTALLED:
        server |= _BEST_SERVER
    if task.way is Way.BATCHING:
        model |= _BATCHING
    Path(task.folder, "settings.json").write_text(json.dumps(server))
    Path(task.folder, "model-settings.json").write_text(json.dumps(model))


if __name__ == "__main__":
    asked = read_task()
    write_settings(asked)
    sys.argv = ["mlserver", "start", str(asked.folder)]
    main()
