"""The task of a contract, which follows from the kind of its label."""

from typing import Final

from athanor.contract.columns import Kind
from athanor.contract.contract import Contract, message_of
from athanor.errors import ContractError
from athanor.tasks.binary import Binary
from athanor.tasks.multiclass import Multiclass
from athanor.tasks.regression import Regression
from athanor.tasks.task import Task

_TASKS: Final[dict[Kind, type[Task]]] = {
    Kind.BOOLEAN: Binary,
    Kind.TEXT: Multiclass,
    Kind.NUMBER: Regression,
    Kind.INTEGER: Regression,
}


def task_of(contract: Contract, coverage: float | None = None) -> Task:
    """The task that the label of a contract asks.

    Args:
        coverage: share of outcomes that intervals or sets are made to hold; None if the answer is to say no doubt.

    Raises:
        ContractError: the label is a timestamp, or the prediction message does not fit the label. A line for each
            problem, with its remedy.
    """
    label = contract.label
    found = _TASKS.get(label.kind)
    if found is None:
        raise ContractError(
            f"{contract.outcome.full_name}.{label.name} is a {label.kind.value}; a label is a bool, a string with "
            "categories, or a number"
        )
    task = found(contract, coverage)
    where = message_of(contract.predictions_field).full_name
    if problems := list(task.list_contract_problems()):
        raise ContractError("\n".join(f"{where}: {problem}" for problem in problems))
    return task
