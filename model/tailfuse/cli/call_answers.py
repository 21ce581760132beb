"""The answer to one sample: for people, or as the service's own JSON."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from tailfuse_client import Answer, Explanation, Problem

MAX_SHOWN_CLASSES = 10
BAR = 24  # characters of a whole one
EIGHTHS = " ▏▎▍▌▋▊▉"


def shown(answer: "Answer") -> str:
    """An answer for people: its classes, and how much each modality counted."""
    lines = [f"{answer.label}, {answer.probability:.1%}", ""]
    width = max(map(len, [*answer.probabilities, *answer.modalities, "modality"]))
    for name, probability in list(answer.probabilities.items())[:MAX_SHOWN_CLASSES]:
        lines.append(f"{name:{width}}  {probability:6.1%}  {bar(probability)}".rstrip())
    more = len(answer.probabilities) - MAX_SHOWN_CLASSES
    if more > 0:
        lines.append(f"and {more} classes that are less probable")
    lines += ["", f"{'modality':{width}}  {'weight':>6}  {'':{BAR}}  confidence"]
    for name, each in answer.modalities.items():
        if each.confidence is None:
            lines.append(f"{name:{width}}  absent")
        else:
            lines.append(
                f"{name:{width}}  {each.weight:6.3f}  {bar(each.weight):{BAR}}  {each.confidence:10.3f}"
            )
    if answer.explanation:
        lines += ["", *why(answer.explanation, width)]
    if answer.conflict is not None:
        lines += ["", f"conflict {answer.conflict:.3f}"]
    if answer.prior is not None:
        lines += ["", f"for the prior '{answer.prior}'"]
    lines += ["", f"{answer.model.name}, version {answer.model.version}; request {answer.request_id}", ""]
    return "\n".join(lines)


def why(explanation: "Explanation", width: int) -> list[str]:
    """Return what each modality adds to the probability, and the answers to it alone and without it."""
    lines = [
        f"{'':{width}}  {'adds':>7}  {'alone':20}  without it",
        f"{'prior':{width}}  {explanation.prior:7.1%}",
    ]
    for name, added in explanation.contributions.items():
        alone, without = (
            "" if part is None else f"{part.label}, {part.probability:.1%}"
            for part in (explanation.alone[name], explanation.without[name])
        )
        lines.append(f"{name:{width}}  {added:+7.1%}  {alone:20}  {without}".rstrip())
    return lines


def bar(share: float) -> str:
    """A bar of up to BAR characters, exact to an eighth of one."""
    whole, eighths = divmod(round(share * BAR * 8), 8)
    return ("█" * whole + EIGHTHS[eighths]).rstrip()


def indented(answer: "Answer") -> str:
    """As POST /predict has answered it."""
    return orjson.dumps(
        make_document(answer), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    ).decode()


def make_document(result: "Answer | Problem") -> Mapping[str, Any]:
    """Return what the service answered, as JSON."""
    from tailfuse_client import Answer

    if not isinstance(result, Answer):
        return result.document
    document = asdict(result)
    for name in ("explanation", "prior", "conflict"):
        if document[name] is None:
            del document[name]
    return document
