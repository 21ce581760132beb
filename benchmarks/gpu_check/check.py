"""Runs each part of the check in a process of its own, and writes what it measures as it goes.

`python -m gpu_check.check` needs no network and no installation: a PyTorch with CUDA from 2.6 on, Python 3.11
to 3.13, and the packages of `make gpu-packages` on PYTHONPATH.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gpu_check.parts import PARTS, Part

ROOT = str(Path(__file__).parents[1])  # where this package lies
TOTAL_S = 540  # of nine minutes, in which a machine may be lent
GRACE_S = 5  # between the request to end and the kill


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts; return 1 if one failed."""
    options = parse(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    lines = options.out / "gpu-check.jsonl"
    deadline = time.monotonic() + options.seconds
    records: list[dict[str, Any]] = []
    with lines.open("w") as file:
        for part in PARTS:
            if options.parts and part.name not in options.parts:
                continue
            for record in run_part(part, options, min(part.limit_s, deadline - time.monotonic())):
                records.append(record)
                file.write(json.dumps(record) + "\n")
                file.flush()
                print(json.dumps(record), flush=True)
    write_result(options.out, records)
    return int(any("error" in record for record in records))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m gpu_check.check", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results/gpu"), help="folder of the results")
    parser.add_argument("--work", type=Path, default=Path("build/gpu-check"), help="folder of bundles")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1, …; cpu tries the check itself")
    parser.add_argument("--images", type=Path, help="a folder with images.npz: see README.md")
    parser.add_argument("--seconds", type=float, default=TOTAL_S, help="for all parts together")
    parser.add_argument("--parts", nargs="*", choices=[part.name for part in PARTS], help="only these")
    return parser.parse_args(arguments)


def run_part(part: Part, options: argparse.Namespace, limit_s: float) -> list[dict[str, Any]]:
    """Run one part; return its figures, and why it ended early if it did."""
    if limit_s < 1:
        return [{"part": part.name, "error": "no time was left"}]
    start = time.monotonic()
    process = subprocess.Popen(
        make_command(part, options),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [ROOT, os.environ.get("PYTHONPATH")]))},
    )
    error = None
    try:
        printed, noise = process.communicate(timeout=limit_s)
        if process.returncode:
            error = noise.strip()[-1000:] or f"exit code {process.returncode}"
    except subprocess.TimeoutExpired:
        printed, noise = end_group(process)
        error = f"did not end within {limit_s:.0f} s"
    records = [
        {"part": part.name, **json.loads(line)} for line in printed.splitlines() if line.startswith("{")
    ]
    if error is not None:
        records.append({"part": part.name, "error": error})
    return [*records, {"part": part.name, "took_s": round(time.monotonic() - start, 1)}]


def make_command(part: Part, options: argparse.Namespace) -> list[str]:
    """Return the command that runs one part."""
    command = [sys.executable, "-m", "gpu_check.parts", part.name, options.device, str(options.work)]
    return command if options.images is None else [*command, str(options.images)]


def end_group(process: subprocess.Popen[str]) -> tuple[str, str]:
    """End the part and what it started; return what it had printed."""
    os.killpg(process.pid, 15)
    try:
        return process.communicate(timeout=GRACE_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        return process.communicate()


def write_result(out: Path, records: list[dict[str, Any]]) -> None:
    """Write all records as <card>.json."""
    card = next((record["card"] for record in records if "card" in record), "unknown")
    name = re.sub(r"[^a-z0-9]+", "-", card.lower()).strip("-")
    document = {"card": card, "command": "make gpu-check", "records": records}
    (out / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
