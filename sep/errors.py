"""Errors that the user of a command can cure."""


class UserError(ValueError):
    """An error with a message of one line: where, what is wrong, and the cure.

    The scripts print it without a traceback and exit with status 1.
    """


class Diverged(UserError):
    """Training failed: its gradients are no longer finite."""
