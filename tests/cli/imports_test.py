"""Asking for help loads no layer and no heavy library."""

import os
import subprocess
import sys

from athanor.cli import app

HEAVY = ("deltalake", "grpc", "mlflow", "numpy", "onnxruntime", "pandas", "pyarrow", "ray", "sklearn")


def test_the_composed_app_loads_nothing_heavy() -> None:
    program = f"import sys, {app.__name__}; sys.exit(' '.join(set(sys.modules) & set({HEAVY})))"
    environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, check=False, capture_output=True, text=True)
    assert done.stderr.strip() == ""
