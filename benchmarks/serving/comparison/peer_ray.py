"""Ray Serve with its default proxy, which is written in Python, asked over REST.

As installed it answers each request by itself; at its best it batches waiting requests (`serve.batch`). It runs with
our lock, and so with the same Ray as our service.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import signal
import sys
import tempfile
from typing import Any, Final

from serving.comparison.peer import Task, Way, read_task

_BATCH: Final = 32
_WAIT_S: Final = 0.005


class _Pipeline:
    """Serve's decorators are applied below: here they would be pickled with this module's globals."""

    def __init__(self, path: str) -> None:
        # In the replica alone.
        import joblib  # noqa: PLC0415

        self._pipeline = joblib.load(path)
        self._names = list(self._pipeline.feature_names_in_)

    def answer(self, rows: list[list[Any]]) -> list[float]:
        import pandas as pd  # noqa: PLC0415

        answers: list[float] = self._pipeline.predict_proba(pd.DataFrame(rows, columns=self._names))[:, 1].tolist()
        return answers


def _make_application(task: Task) -> Any:
    from ray import serve  # noqa: PLC0415 - it reads its settings from the environment when it is imported
    from starlette.requests import Request  # noqa: PLC0415

    class AsInstalled(_Pipeline):
        async def __call__(self, request: Request) -> list[float]:
            return self.answer(json.loads(await request.body())["rows"])

    class Batching(_Pipeline):
        @serve.batch(max_batch_size=_BATCH, batch_wait_timeout_s=_WAIT_S)
        async def _answer_together(self, requests: list[list[list[Any]]]) -> list[list[float]]:
            answers = self.answer([row for rows in requests for row in rows])
            bounds = itertools.accumulate((len(rows) for rows in requests), initial=0)
            return [answers[first:last] for first, last in itertools.pairwise(bounds)]

        async def __call__(self, request: Request) -> list[float]:
            answer: list[float] = await self._answer_together(json.loads(await request.body())["rows"])
            return answer

    limits: dict[str, Any] = {"max_ongoing_requests": 100} if task.way is Way.BATCHING else {}
    deployment: Any = serve.deployment(Batching if task.way is Way.BATCHING else AsInstalled, **limits)
    return deployment.bind(str(task.pipeline))


def main() -> None:
    task = read_task()
    # In /tmp whatever TMPDIR says, since the paths of sockets must be short.
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as sockets:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        import ray  # noqa: PLC0415
        from ray import serve  # noqa: PLC0415

        ray.init(
            address="local",
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            object_store_memory=80 * 1024 * 1024,
            _temp_dir=sockets,
        )
        try:
            serve.start(http_options={"host": "127.0.0.1", "port": task.port}, proxy_location="HeadOnly")
            serve.run(_make_application(task), route_prefix="/predict")
            # Only now: Ray sets handlers of its own when it starts.
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: sys.exit())
            signal.pause()
        finally:
            serve.shutdown()  # type: ignore[no-untyped-call]
            ray.shutdown()


if __name__ == "__main__":
    main()
