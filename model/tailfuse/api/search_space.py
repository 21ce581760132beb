"""The keys of a spec that a search varies, and the values that each may take."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from optuna.trial import Trial
from pydantic import BaseModel, ConfigDict, ValidationError

from tailfuse.errors import SpecError
from tailfuse.network.build import check_encoders
from tailfuse.spec.document import Key, read_document
from tailfuse.spec.schema import Spec, make_spec
from tailfuse.spelling import did_you_mean

# What else a spec says decides which rows are scored, so scores could not be compared.
SECTIONS = ("network", "training", "modalities")
# Of each kind, the encoders that need neither files nor much longer than the default.
ENCODERS = {"tabular": ("mlp", "piecewise"), "text": ("lsa", "bag"), "series": ("conv", "logmel", "fixed")}


class Range(BaseModel):
    """All numbers from `low` to `high`; with `log` each factor is as likely as another."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    low: float
    high: float
    log: bool = False


@dataclass(frozen=True, slots=True)
class Choices:
    """A few values, by the text that names each in tables."""

    by_name: Mapping[str, Any]


SearchSpace = Mapping[str, Range | Choices]


def make_choices(values: list[Any]) -> Choices:
    """Return values with their names.

    >>> list(make_choices([64, "lsa", None, [0.0, 1.0]]).by_name)
    ['64', 'lsa', 'null', '[0.0, 1.0]']
    """
    return Choices({each if isinstance(each, str) else json.dumps(each): each for each in values})


def make_default_space(spec: Spec) -> SearchSpace:
    """Return the space that is searched if none is given: a factor of about four around the defaults."""
    space: dict[str, Range | Choices] = {
        "training.learning_rate": Range(low=5e-4, high=8e-3, log=True),
        "training.weight_decay": Range(low=5e-3, high=0.3, log=True),
        "training.mixup": Range(low=0, high=1),
        "network.width": make_choices([64, 128, 256]),
        "network.dropout": Range(low=0.1, high=0.7),
        "network.input_dropout": Range(low=0, high=0.5),
    }
    if len(spec.modalities) > 1:
        space["training.modality_dropout"] = Range(low=0.1, high=0.8)
    for name, each in spec.modalities.items():
        known = ENCODERS.get(each.kind, ())
        if each.encoder in (*known, "auto") and known:
            space[f"modalities.{name}.encoder"] = make_choices(list(known))
    return space


def read_space(path: Path, spec: Spec) -> SearchSpace:
    """Read a space from a YAML file: a list of values, or `low`, `high` and perhaps `log`, by dotted key.

    Raises SpecError, one line for each mistake.
    """
    document = read_document(path)
    return make_space(document.data, spec, lambda key: f"{document.place(key)}: ")


def make_space(
    data: Mapping[str, Any], spec: Spec, place: Callable[[Key], str] = lambda _: ""
) -> SearchSpace:
    """Return plain data as a space; `place` is put before each mistake. Raises SpecError."""
    space, mistakes = {}, []
    for key, value in data.items():
        try:
            space[key] = make_dimension(key, value, spec)
        except SpecError as error:
            mistakes += [f"{place((key,))}{line}" for line in str(error).splitlines()]
    if mistakes:
        raise SpecError("\n".join(mistakes))
    if not space:
        raise SpecError(f"{place(())}the space has no key; expected one such as training.learning_rate")
    return space


def make_dimension(key: str, value: Any, spec: Spec) -> Range | Choices:
    """Return what one key may be. Every end and every value is tried in the spec. Raises SpecError."""
    section = key.partition(".")[0]
    if section not in SECTIONS or "." not in key or key.endswith(".kind"):
        hint = did_you_mean(section, SECTIONS)
        raise SpecError(f"'{key}' cannot be tuned; expected a key of {', '.join(SECTIONS)}{hint}")
    if section == "modalities" and key.split(".")[1] not in spec.modalities:
        known = list(spec.modalities)
        name = key.split(".")[1]
        raise SpecError(f"'{key}': the spec has no modality '{name}'{did_you_mean(name, known)}")
    if isinstance(value, list) and value:
        choices = make_choices(value)
        if len(choices.by_name) < len(value):
            raise SpecError(f"'{key}': a value is named twice")
        dimension: Range | Choices = choices
        tried = value
    elif isinstance(value, Mapping):
        dimension = make_range(key, value)
        tried = [make_number(key, end, spec) for end in (dimension.low, dimension.high)]
        if is_integer(key, spec) and tried != [dimension.low, dimension.high]:
            raise SpecError(f"'{key}': takes integers; low is {dimension.low}, and high {dimension.high}")
    else:
        raise SpecError(f"'{key}': expected a list of values, or low and high, not {json.dumps(value)}")
    for each in tried:
        changed = apply_values(spec, {key: each})
        if key.endswith(".encoder"):
            check_encoders(changed)
    return dimension


def make_range(key: str, value: Mapping[str, Any]) -> Range:
    """Raises SpecError."""
    try:
        made = Range.model_validate(dict(value))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise SpecError(f"'{key}': {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    if not made.low < made.high:
        raise SpecError(f"'{key}': low is {made.low:g}, and high is {made.high:g}; expected low < high")
    if made.log and made.low <= 0:
        raise SpecError(f"'{key}': low is {made.low:g}; with log it must be above 0")
    return made


def is_integer(key: str, spec: Spec) -> bool:
    """Return whether a key takes integers."""
    at: Any = spec
    *above, last = key.split(".")
    for part in above:
        at = at.get(part) if isinstance(at, Mapping) else getattr(at, part, None)
    if not isinstance(at, BaseModel) or last not in type(at).model_fields:
        return False  # `apply_values` says that the key is unknown
    annotation = type(at).model_fields[last].annotation
    return annotation is int or int in get_args(annotation)


def make_number(key: str, value: float, spec: Spec) -> float | int:
    """Return a number as the key takes it: an integer, or three significant digits."""
    return round(value) if is_integer(key, spec) else float(f"{value:.3g}")


def suggest_values(trial: Trial, space: SearchSpace, spec: Spec) -> dict[str, Any]:
    """Draw a value for each key."""
    values: dict[str, Any] = {}
    for key, each in space.items():
        if isinstance(each, Choices):
            values[key] = each.by_name[trial.suggest_categorical(key, list(each.by_name))]
        elif is_integer(key, spec):
            values[key] = trial.suggest_int(key, int(each.low), int(each.high), log=each.log)
        else:
            drawn = make_number(key, trial.suggest_float(key, each.low, each.high, log=each.log), spec)
            values[key] = min(max(drawn, each.low), each.high)
    return values


def dump_keys(spec: Spec) -> dict[str, Any]:
    """Return the keys that a spec sets as plain data, with its trackers, which `model_dump` leaves out."""
    data = spec.model_dump(mode="json", exclude_unset=True)
    if "trackers" in spec.training.model_fields_set:
        data["training"]["trackers"] = spec.training.trackers.model_dump(mode="json", exclude_unset=True)
    return data


def apply_values(spec: Spec, values: Mapping[str, Any]) -> Spec:
    """Return the spec with other values of dotted keys. Raises SpecError."""
    data = dump_keys(spec)
    for dotted, value in values.items():
        *above, last = dotted.split(".")
        inner: Any = data
        for part in above:
            inner = inner.setdefault(part, {})
            if not isinstance(inner, dict):
                raise SpecError(f"{dotted}: unknown key")
        inner[last] = value
    return make_spec(data)
