"""The reference of the service's errors, settings and metrics, from the code."""

import re

from tailfuse_service import errors
from tailfuse_service.metrics.families import FAMILIES
from tailfuse_service.settings import Settings

from docs.tables import HEADER, make_table

ERROR = re.compile(r"^[│├└─ ]+\w+ +(\d{3}) +([a-z-]+) +(.+)$", re.MULTILINE)  # a line of the tree of errors


def make_errors_page() -> str:
    """Return the page of errors, from the tree at the top of `tailfuse_service.errors`."""
    rows = [
        (status, f"`{slug}`", meaning)
        for status, slug, meaning in ERROR.findall(errors.__doc__ or "")
        if slug != errors.BundleError.slug  # the service never answers with it
    ]
    return f"""{HEADER}
# Errors

Errors are problem details (RFC 9457) of the type `application/problem+json`. `type` is
`urn:tailfuse:problem:<slug>`; the other members name the modality and the column, what was expected, and
what was received. [The service](../SERVICE.md#errors) has more.

{make_table(["status", "slug", "meaning"], rows)}
"""


def make_settings_page() -> str:
    """Return the page of settings."""
    rows = []
    for name, field in Settings.model_fields.items():
        default = "" if field.is_required() or field.default in (None, "") else field.default
        flag = "BUNDLE" if name == "bundle" else f"--{name.replace('_', '-')}"
        variable = f"`TAILFUSE_{name.upper()}`, `{flag}`"
        rows.append((variable, "off" if default is False else default, field.description))
    return f"""{HEADER}
# Settings of the service

Each setting is a flag of `tailfuse serve` and an environment variable. A flag overrides the environment
variable.

{make_table(["variable, flag", "default", "meaning"], rows)}
"""


def make_metrics_page() -> str:
    """Return the page of metrics."""
    rows = []
    for name, family in FAMILIES.items():
        full = f"tailfuse_{name}_total" if family.kind == "counter" else f"tailfuse_{name}"
        labels = ", ".join(f"`{label}`" for label in family.labels)
        rows.append((f"`{full}` ({family.kind})", labels, family.tells))
    return f"""{HEADER}
# Metrics

`GET /metrics` has these metrics for Prometheus. [The service](../SERVICE.md#metrics) says what
labels mean and how many time series there are, [Dashboards](../MONITORING.md) shows them, and
[the runbook](../RUNBOOK.md) has the alerts.

{make_table(["name", "labels", "meaning"], rows)}
"""
