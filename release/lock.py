"""Write requirements/*.txt: every package of an installation, with the sha256 sums of its files.

`make lock` runs it. The versions are those of constraints.txt; CUDA's packages are not in it and get the
newest version that fits. A file is for Linux on x86_64 and aarch64 and every supported Python: uv resolves
for all of them and lists the sums of all wheels of a version. The sums are those of the package index in use:
run it with the public one, since a mirror that builds its own files has other sums.
"""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
OWN_PACKAGES = {"tailfuse": "", "tailfuse-client": "client", "tailfuse-bench": "benchmarks"}
# The packages of each file. Images install serve, gpu, train, torch and build; tests install test and dev.
LOCKS = {
    "serve": ["tailfuse[grpc,sign,otel]"],
    "train": ["tailfuse[train,pretrained,formats,sign]", "tailfuse-client"],
    "test": ["tailfuse[test]", "tailfuse-client"],
    "dev": ["tailfuse[dev]", "tailfuse-client", "tailfuse-bench"],
}
# torch has another build, with other sums, on each index. What belongs to a build is in torch.txt only.
TORCH = re.compile(r"(torch|triton|(nvidia|cuda)-[a-z0-9-]+)==")
PIN = re.compile(r"[a-z0-9-]+==\S+")
HEADER = (
    "# Written by `make lock`. Install: pip install --no-deps --require-hashes -r requirements/{name}.txt\n"
)


def main() -> None:
    """Write every file."""
    folder = ROOT / "requirements"
    folder.mkdir(exist_ok=True)
    locks = {name: resolve(add_folders(needs)) for name, needs in LOCKS.items()}
    torch = [pin for pin in locks["train"] if TORCH.match(pin)]
    locks = {name: [pin for pin in pins if not TORCH.match(pin)] for name, pins in locks.items()}
    locks |= {
        "torch": torch,
        "build": resolve(read_build_requirements()),
        "gpu": resolve(read_gpu_requirements()),
    }
    for name, pins in locks.items():
        (folder / f"{name}.txt").write_text(HEADER.format(name=name) + "".join(pins), encoding="utf-8")
        print(f"requirements/{name}.txt: {len(pins)} packages")


def add_folders(requirements: list[str]) -> list[str]:
    """Return requirements of the project's own packages with the folders that they are in."""
    places = {name: (ROOT / folder).as_uri() for name, folder in OWN_PACKAGES.items()}
    return [f"{each} @ {places[each.partition('[')[0]]}" for each in requirements]


def read_build_requirements() -> list[str]:
    """Return what builds the wheel of tailfuse."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return list(document["build-system"]["requires"])


def read_gpu_requirements() -> list[str]:
    """Return what the GPU's image has instead of onnxruntime."""
    return (ROOT / "docker" / "requirements-gpu.txt").read_text(encoding="utf-8").splitlines()


def resolve(requirements: list[str]) -> list[str]:
    """Return the pins of all packages that the requirements need, each with its sums, sorted by name.

    Raises SystemExit with uv's message if the requirements and constraints.txt contradict each other.
    """
    left_out = [option for name in OWN_PACKAGES for option in ("--no-emit-package", name)]
    command = [
        sys.executable, "-m", "uv", "pip", "compile", "-", "--constraints", "constraints.txt",
        "--universal", "--python-version", "3.11", "--generate-hashes", "--no-annotate", "--no-header",
        "--quiet", "--no-config", "--system-certs", *left_out,
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, input="\n".join(requirements), capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"make lock: {done.stderr}")
    pins = re.split(r"^(?=\S)", done.stdout, flags=re.MULTILINE)[1:]
    if strange := [pin for pin in pins if not PIN.match(pin)]:
        raise SystemExit(f"make lock: not a pinned package: {strange[0]}")
    return pins


if __name__ == "__main__":
    main()
