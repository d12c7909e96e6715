"""The model card: what people should know of a release."""

from athanor.features.features import Model
from athanor.training.evaluation import Evaluation
from athanor.training.gates import GateResult


def write_model_card(model: Model, algorithm: str, evaluation: Evaluation, results: tuple[GateResult, ...]) -> str:
    """Markdown, after Mitchell et al. 2019, "Model Cards for Model Reporting"."""
    label = model.contract.label
    lines = [
        f"# {model.name}",
        "",
        f"Answers: {model.contract.prediction.description}. Algorithm: {algorithm}.",
        "",
        f"Evaluated on {evaluation.rows:,} rows later than all it was trained on; "
        f"{label.description.lower()} in {evaluation.label_rate:.1%} of them.",
        "",
        "| metric | model | baseline |",
        "|---|---|---|",
        *(f"| {name} | {value:.4f} | {evaluation.baseline[name]:.4f} |" for name, value in evaluation.metrics.items()),
        "",
        "| gate | passed |",
        "|---|---|",
        *(f"| {result} | {'yes' if result.passed else 'no'} |" for result in results),
    ]
    for column, table in evaluation.slices.items():
        lines += ["", f"| {column} | rows | label rate | ROC AUC |", "|---|---|---|---|"]
        for value, row in table.items():
            auc = "n/a" if row["roc_auc"] is None else f"{row['roc_auc']:.4f}"
            lines.append(f"| {value} | {row['rows']:,} | {row['label_rate']:.1%} | {auc} |")
    return "\n".join(lines) + "\n"
