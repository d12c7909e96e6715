"""MLflow's scoring server, asked at `/invocations`: what `mlflow models serve --env-manager local` starts.

The model has no signature, which spares it a check of each request. There is no other setting that its speed depends
on but the number of processes, and everybody has one.
"""

from __future__ import annotations

import os

import joblib
import mlflow.sklearn
import uvicorn
from mlflow.pyfunc import scoring_server

from serving.comparison.peer import read_task

if __name__ == "__main__":
    task = read_task()
    mlflow.sklearn.save_model(
        joblib.load(task.pipeline),
        task.folder / "model",
        pyfunc_predict_fn="predict_proba",
        pip_requirements=[],
        serialization_format="cloudpickle",
    )
    os.environ[scoring_server._SERVER_MODEL_PATH] = str(task.folder / "model")
    uvicorn.run("mlflow.pyfunc.scoring_server.app:app", host="127.0.0.1", port=task.port, workers=1)
