"""`make bench-instructions`: instructions per request by stage and by library, counted by Valgrind.

Counts do not depend on how fast or how busy the machine is. They leave out the kernel: what its sockets cost
is in `make bench-serve`. Prints Markdown, and writes JSON.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import click

from serving_bench.bundle import prepare_bundle
from serving_bench.stages import CONNECTIONS, NOTHING, ROUNDS, STAGES, WHOLE

# A part of a library's file name, and what it is called.
LIBRARIES = {
    "libpython": "Python", "onnxruntime": "onnxruntime", "_multiarray": "NumPy", "orjson": "orjson",
    "libc.so": "libc", "libm.so": "libc", "jpeg": "JPEG decoder", "loop.cpython": "uvloop",
}  # fmt: skip
OTHER = "other"
REST = "HTTP, admission, queue, futures, request metrics"
# Lines of callgrind's files: an object's number and, the first time, its name; costs of a line of code.
OBJECT = re.compile(r"ob=\((\d+)\)(?: (.*))?")
CALLED_OBJECT = re.compile(r"cob=\((\d+)\) (.*)")
COST = re.compile(r"[-+*\d]\S* (\d+)")

Counts = dict[str, int]  # instructions by library


def read_counts(text: str) -> Counts:
    """Read the instructions of a callgrind file by library. A call's are those of the called function."""
    names: dict[str, str] = {}
    counts: Counter[str] = Counter()
    library, is_call = OTHER, False
    for line in text.splitlines():
        if found := CALLED_OBJECT.fullmatch(line):
            names[found[1]] = found[2]
        elif found := OBJECT.fullmatch(line):
            if found[2] is not None:
                names[found[1]] = found[2]
            library = name_library(names.get(found[1], ""))
        elif line.startswith("calls="):
            is_call = True
        elif found := COST.match(line):
            if not is_call:
                counts[library] += int(found[1])
            is_call = False
    return dict(counts)


def name_library(path: str) -> str:
    """Return what a library is called."""
    file = Path(path).name
    return next((name for part, name in LIBRARIES.items() if part in file), OTHER)


def count_stages(bundle: Path, workload: str) -> dict[str, Counts]:
    """Count the instructions of each stage, per request, by library. Raises CalledProcessError."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [
                "valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={folder}/counts",
                sys.executable, "-m", "serving_bench.stages", str(bundle), workload,
            ],
            check=True, stdout=sys.stderr, stderr=subprocess.DEVNULL,
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"},
        )  # fmt: skip
        files = [Path(folder, f"counts.{at}") for at in range(1, len(STAGES) + 3)]
        read = {
            name: read_counts(file.read_text())
            for name, file in zip((NOTHING, *STAGES, WHOLE), files, strict=True)
        }
    nothing = read.pop(NOTHING)  # of switching the counting on and off
    n_requests = ROUNDS * CONNECTIONS
    return {
        name: {
            library: max(count - nothing.get(library, 0), 0) // n_requests
            for library, count in counts.items()
        }
        for name, counts in read.items()
    }


def format_counts(stages: Mapping[str, Counts]) -> str:
    """Return a Markdown table: a row for each stage, a column for each library, in thousands."""
    whole = stages[WHOLE]
    rest = {
        library: max(count - sum(stages[name].get(library, 0) for name in STAGES), 0)
        for library, count in whole.items()
    }
    columns = sorted(whole, key=lambda library: -whole[library])
    columns = [each for each in columns if whole[each] >= sum(whole.values()) / 200]
    lines = [f"| | all | {' | '.join(columns)} |", f"|---|{'---:|' * (len(columns) + 1)}"]
    for name, counts in {**{name: stages[name] for name in STAGES}, REST: rest, WHOLE: whole}.items():
        cells = [sum(counts.values()), *(counts.get(each, 0) for each in columns)]
        lines.append(f"| {name} | {' | '.join(f'{cell / 1000:.1f}' for cell in cells)} |")
    return "\n".join(lines)


@click.command()
@click.option("--workloads", default="tabular,image+tabular", show_default=True, help="Names with commas.")
@click.option(
    "--folder", type=click.Path(path_type=Path), default="bench-serve", show_default=True,
    help="Folder of the bundle that is answered.",
)  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), default="bench-serve/instructions.json", help="JSON.")
def main(workloads: str, folder: Path, out: Path) -> None:
    """Count the instructions of a request, many of which arrive at once."""
    if shutil.which("valgrind") is None:
        raise click.ClickException("valgrind is not installed; on Debian, apt-get install valgrind")
    bundle = prepare_bundle(folder)
    counted = {}
    for name in workloads.split(","):
        counted[name] = count_stages(bundle, name)
        print(
            f"`{name}`, thousands of instructions per request:\n\n{format_counts(counted[name])}\n",
            flush=True,
        )
    out.write_text(json.dumps(counted, indent=1) + "\n")


if __name__ == "__main__":
    main()
