"""The contract of a project in this binary."""

from athanor.contract.contract import Contract
from athanor.errors import ContractError
from athanor.projects import load


def load_contract(project: str) -> Contract:
    """The contract of the project's model, whose features serving does not know.

    Raises:
        NotFoundError: this binary carries no such project, or the project has no model.
        ContractError: the model declares no contract.
    """
    contract = getattr(load(project, "model", object), "contract", None)
    if not isinstance(contract, Contract):
        raise ContractError(f"projects.{project}.model must declare MODEL with a contract")
    return contract
