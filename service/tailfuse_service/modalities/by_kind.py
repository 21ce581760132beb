"""A pydantic annotation: the value is one of the registered models, and its `kind` says which."""

from collections.abc import Callable, Iterable
from typing import Annotated, Any, Union

from pydantic import BaseModel, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, TypeAdapter
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema


class ByKind:
    """Use as `Annotated[Base, ByKind(models)]`; `models` returns those that are registered now.

    An ordinary discriminated union is fixed when its class is defined. This one is built on first use and
    again after a registration, and reports the same errors and the same JSON Schema.
    """

    def __init__(self, models: Callable[[], Iterable[type[BaseModel]]]) -> None:
        self._models = models
        self._union: tuple[tuple[type[BaseModel], ...], TypeAdapter[Any]] | None = None

    def union(self) -> TypeAdapter[Any]:
        """The validator of all models that are registered now."""
        models = tuple(self._models())
        if self._union is None or self._union[0] != models:
            union: Any = Annotated[Union[models], Field(discriminator="kind")]  # noqa: UP007
            self._union = models, TypeAdapter(union)
        return self._union[1]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(lambda value: self.union().validate_python(value))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return handler(self.union().core_schema)
