"""Say in one sentence which setting is wrong."""

from pydantic import ValidationError


def explain(error: ValidationError) -> str:
    """Return what the first error is, with the setting's flag and variable."""
    first = error.errors()[0]
    name = str(first["loc"][0]) if first["loc"] else ""
    if first["type"] == "missing":
        return "no bundle given: pass its folder or .zip file, or set TAILFUSE_BUNDLE"
    where = f"--{name.replace('_', '-')} (TAILFUSE_{name.upper()}): " if name else ""
    return f"{where}{first['msg'].removeprefix('Value error, ')}"
