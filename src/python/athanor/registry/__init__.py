"""Layer `registry`: which releases there are, which of them answers, and how it came to that."""

import os

# Before mlflow is imported, wherever that is: it would report its use to its makers, and look for git.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
