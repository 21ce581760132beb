"""What a user can get wrong. The command line prints the message alone: no traceback."""


class UserError(Exception):
    """One clear sentence that names the key, the column or the row."""


class SpecError(UserError):
    """The spec is wrong."""


class TableError(UserError):
    """The table is wrong."""


class RunError(UserError):
    """A run's folder cannot be used as asked."""
