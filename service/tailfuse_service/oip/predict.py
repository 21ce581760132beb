"""Predict the rows of a protocol request, for REST and gRPC."""

from collections.abc import Sequence
from typing import Any

from tailfuse_service.bundle import ClassPrior, Prediction
from tailfuse_service.errors import ClientError, InvalidInput
from tailfuse_service.inference.engine import Engine, Inputs

PRIOR = "prior"  # the parameter of a request, and of its response


async def predict_rows(
    engine: Engine, rows: Sequence[Inputs], n_bytes: int, prior: ClassPrior | None
) -> list[Prediction]:
    """Return a prediction for each row; `n_bytes` is the length of the request, `prior` what it names.

    Raises what Engine.submit does; the first row that is wrong fails all of them, and is named.
    """
    if len(rows) > 1:
        answers = await engine.predict_all(rows, prior)
        for number, answer in enumerate(answers):
            if isinstance(answer, BaseException):
                raise name_row(answer, number)
        return answers  # type: ignore[return-value]
    try:
        future = engine.submit(rows[0], n_bytes, prior)
        try:
            return [await future]
        finally:
            engine.withdraw(future)
    except ClientError as error:
        raise name_row(error, 0) from None


def find_prior(engine: Engine, name: Any) -> ClassPrior | None:
    """Return the prior that a request's parameter names. Raises InvalidInput."""
    if not (name is None or isinstance(name, str)):
        raise InvalidInput(f"'{PRIOR}' must be a string", expected="a string", parameter=PRIOR)
    return engine.find_prior(name)


def make_parameters(engine: Engine, prior: ClassPrior | None) -> dict[str, str]:
    """Return the response's parameters: the prior, where it is not the graph's own."""
    used = prior or engine.bundle.prior
    name = None if used is None else used.stated_name
    return {} if name is None else {PRIOR: name}


def name_row(error: BaseException, number: int) -> BaseException:
    """Return a client error with the number of its row."""
    if not isinstance(error, ClientError):
        return error
    members = {name: value for name, value in error.members.items() if name != "row"}
    return type(error)(f"row {number}: {error.detail}", row=number, **members)
