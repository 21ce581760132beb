"""What a user can get wrong. The command line prints the message alone: no traceback."""


class UserError(Exception):
    """One clear sentence that names the key, the column or the row."""


class SpecError(UserError, ValueError):
    """The spec is wrong."""


class TableError(UserError, ValueError):
    """The table is wrong."""


class RunError(UserError):
    """A run cannot be started, or gone on with, as asked."""


class ExportError(UserError):
    """An exported graph does not answer as the network does, so there is no bundle."""
