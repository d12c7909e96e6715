"""Work in turns, done at once."""

from athanor.serving.formats.json_body import Read, Turns


def finish(work: Turns[Read]) -> Read:
    """The result of work that yields to others."""
    while True:
        try:
            next(work)
        except StopIteration as done:
            result: Read = done.value
            return result
