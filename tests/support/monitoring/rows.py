"""Rows of the quick-start as inputs."""

import csv
import json
from pathlib import Path

from tailfuse_service.bundle import MANIFEST

from tests.support.asking import Inputs
from tests.support.quickstart import raw_values


def load_rows(quickstart: Path, bundle: Path) -> tuple[list[Inputs], list[float]]:
    classes = json.loads((bundle / MANIFEST).read_text())["classes"]
    share = {each["name"]: each["train_count"] for each in classes}
    with (quickstart / "table.csv").open(newline="") as file:
        table = [row for row in csv.DictReader(file) if row["split"] == "test"]
    return [raw_values(row, quickstart) for row in table], [share[row["digit"]] for row in table]
