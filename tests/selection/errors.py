"""What can be wrong with the table of cases, or with what it is asked of."""


class CaseError(Exception):
    """A case does not fit the tree, or is not written as a case; the message says how to mend it."""


class AskError(Exception):
    """Nobody could say what an edit selects; the message holds what was asked and what came back."""
