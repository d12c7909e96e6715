"""Errors of the table of cases, and of the program that answers."""


class CaseError(Exception):
    """A case does not fit the tree, or is malformed; the message says how to correct it."""


class AskError(Exception):
    """The program could not answer; the message holds question and answer."""
