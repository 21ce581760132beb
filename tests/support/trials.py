"""Trials without a child process, for tests of what happens before and after."""

from tailfuse_service.trial.trials import Trials


def pass_all() -> Trials:
    """Return trials that every bundle passes."""
    return Trials(lambda *_: None)
