"""Layer `registry`: registered releases, which of them answer, and the history of both."""

import os

# Before any import of mlflow, which reports its use to its makers and looks for git by default.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
