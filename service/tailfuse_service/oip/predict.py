"""Predict the rows of a protocol request, for REST and gRPC."""

from collections.abc import Sequence

from tailfuse_service.bundle import Prediction
from tailfuse_service.errors import ClientError
from tailfuse_service.inference.engine import Engine, Inputs


async def predict_rows(engine: Engine, rows: Sequence[Inputs], n_bytes: int) -> list[Prediction]:
    """Return a prediction for each row; `n_bytes` is the length of the request.

    Raises what Engine.submit does; the first row that is wrong fails all of them, and is named.
    """
    if len(rows) > 1:
        answers = await engine.predict_all(rows)
        for number, answer in enumerate(answers):
            if isinstance(answer, BaseException):
                raise name_row(answer, number)
        return answers  # type: ignore[return-value]
    try:
        future = engine.submit(rows[0], n_bytes)
        try:
            return [await future]
        finally:
            engine.withdraw(future)
    except ClientError as error:
        raise name_row(error, 0) from None


def name_row(error: BaseException, number: int) -> BaseException:
    """Return a client error with the number of its row."""
    if not isinstance(error, ClientError):
        return error
    members = {name: value for name, value in error.members.items() if name != "row"}
    return type(error)(f"row {number}: {error.detail}", row=number, **members)
