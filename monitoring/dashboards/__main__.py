"""`python -m monitoring.dashboards`: write monitoring/grafana/dashboards/*.json."""

from pathlib import Path

from monitoring.dashboards.classes import classes
from monitoring.dashboards.frame import encode_dashboard
from monitoring.dashboards.fusion import fusion
from monitoring.dashboards.model import model
from monitoring.dashboards.service import service

FOLDER = Path(__file__).parents[1] / "grafana" / "dashboards"
DASHBOARDS = {"service": service, "fusion": fusion, "classes": classes, "model": model}


def files() -> dict[str, str]:
    """Return the content of each file."""
    return {f"{name}.json": encode_dashboard(make()) for name, make in DASHBOARDS.items()}


def main() -> None:
    """Write every dashboard's file."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in files().items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    main()
