"""The error that a person at the keyboard can cure."""


class UserError(ValueError):
    """Its message is one line: what is wrong, where, and how to cure it.

    The scripts print it without a traceback and leave with status 1.
    """


class Diverged(UserError):
    """Training came to no finite gradient any more."""
