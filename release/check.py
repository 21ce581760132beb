"""Build every distribution, check it, and try it in an empty environment outside the checkout.

    make release-check

What passed is left in dist/, with bills of materials of what serves and of what trains. All else is removed.
What the distributions need is installed from requirements/.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from release.contents import Distribution, check_sdist, check_wheel, find_distributions
from release.sbom import write_sbom

ROOT = Path(__file__).parents[1]
# -P: a folder of the checkout is not imported in place of a library.
PYTHON = (sys.executable, "-P")
START_TIMEOUT_S = 60.0
IMAGE = "image=quickstart/example/image.png"


def main() -> None:
    """Build, check and try every distribution, then leave them in dist/."""
    distributions = find_distributions(ROOT)
    with tempfile.TemporaryDirectory(prefix="tailfuse-release-") as name:
        folder = Path(name)
        built = folder / "dist"
        step("build", lambda: build(distributions, built))
        step(
            "check metadata",
            lambda: run(*PYTHON, "-m", "twine", "check", "--strict", *built.iterdir()),
        )
        step("check contents", lambda: check_contents(distributions, built))
        trial = Trial(folder / "environment", folder / "work")
        step("make an empty environment", trial.create)
        step(
            "install what serves, and the client",
            lambda: trial.install(distributions, built, lock="serve", extra=""),
        )
        step("run without torch", trial.run_base)
        step("list what serves", lambda: trial.write_sbom(built, "serve", ["grpc", "sign"]))
        step("install all", lambda: trial.install(distributions, built, lock="train", extra="[train]"))
        step("train, predict, serve, call", trial.run_all)
        step(
            "list what trains",
            lambda: trial.write_sbom(built, "train", ["train", "pretrained", "formats", "sign"]),
        )
        shutil.rmtree(ROOT / "dist", ignore_errors=True)
        shutil.copytree(built, ROOT / "dist")
    print(f"ok: {', '.join(sorted(path.name for path in (ROOT / 'dist').iterdir()))} in dist/")


def step(what: str, action: Callable[[], object]) -> None:
    """Run one step and print how long it took."""
    began = time.monotonic()
    action()
    print(f"ok  {what}: {time.monotonic() - began:.0f} s", flush=True)


def build(distributions: list[Distribution], out: Path) -> None:
    """Make an sdist of each distribution, and its wheel from that sdist, with the installed hatchling."""
    for distribution in distributions:
        run(*PYTHON, "-m", "build", "--no-isolation", "--outdir", out, distribution.folder)


def check_contents(distributions: list[Distribution], built: Path) -> None:
    """Raise SystemExit if a file is too much or missing."""
    problems = []
    for distribution in distributions:
        tracked = list_tracked(distribution.folder)
        problems += check_wheel(built / distribution.wheel, distribution, tracked)
        problems += check_sdist(built / distribution.sdist, distribution, tracked)
    expected = {name for each in distributions for name in (each.wheel, each.sdist)}
    problems += [f"{path.name}: not expected" for path in built.iterdir() if path.name not in expected]
    if problems:
        raise SystemExit("release-check: " + "\n".join(problems))


def list_tracked(folder: Path) -> set[str]:
    """Return the files that git tracks."""
    return set(run("git", "-C", folder, "ls-files").splitlines())


class Trial:
    """An environment that holds nothing but the wheels and what they need, and a folder to work in."""

    def __init__(self, environment: Path, work: Path) -> None:
        self._environment = environment
        self._bin = environment / "bin"
        self._work = work

    def create(self) -> None:
        self._work.mkdir()
        run(*PYTHON, "-m", "venv", self._environment)

    def install(self, distributions: list[Distribution], built: Path, *, lock: str, extra: str) -> None:
        """Install a lock and the wheels: without an extra those of the base and the client, else all."""
        wheels = []
        for each in distributions:
            name = each.project["name"]
            if name == "tailfuse":
                wheels.append(f"{built / each.wheel}{extra}")
            elif extra or name == "tailfuse-client":
                wheels.append(str(built / each.wheel))
        pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        sums = ["--no-deps", "--require-hashes", "-r", str(ROOT / "requirements" / f"{lock}.txt")]
        self.run("python", *pip, *sums)
        self.run("python", *pip, "-c", str(ROOT / "constraints.txt"), *wheels)
        self.run("python", "-m", "pip", "check")

    def write_sbom(self, built: Path, lock: str, extras: list[str]) -> None:
        """Write the bill of materials of what is installed, beside the wheels."""
        version = find_distributions(ROOT)[0].project["version"]
        write_sbom(self._bin / "python", lock, extras, built / f"tailfuse-{version}-{lock}.cdx.json")

    def run_base(self) -> None:
        """Check that commands without an extra work, and that the others say how to get theirs."""
        where = (
            "import tailfuse, tailfuse_service, tailfuse_client as c; print(tailfuse.__file__, c.__file__)"
        )
        for path in self.run("python", "-c", where).split():
            if not Path(path).is_relative_to(self._environment):
                raise SystemExit(f"release-check: {path} is not of the wheel")
        self.run("tailfuse", "--version")
        self.run("tailfuse", "serve", "--help")
        refused = subprocess.run(
            [self._bin / "tailfuse", "demo", "--no-serve"], cwd=self._work, env=clean_environment(),
            capture_output=True, text=True,
        )  # fmt: skip
        if refused.returncode != 1 or "pip install '.[train]'" not in refused.stderr:
            raise SystemExit(f"release-check: no hint how to install the extra: {refused.stderr}")

    def run_all(self) -> None:
        """Train the quick-start's model; predict without a server, and through one with the client."""
        self.run("tailfuse", "demo", "--no-serve")
        self.run("tailfuse", "bench", "--help")
        alone = json.loads(self.run("tailfuse", "predict", "quickstart/run/bundle", "-i", IMAGE))
        with self.serve("quickstart/run/bundle") as url:
            asked = json.loads(self.run("tailfuse", "call", url, "-i", IMAGE, "--json"))
        if alone["label"] != asked["label"] or abs(alone["probability"] - asked["probability"]) > 1e-6:
            raise SystemExit(f"release-check: {alone} without a server, {asked} through one")

    @contextmanager
    def serve(self, bundle: str) -> Iterator[str]:
        """A running service; its URL. It must stop cleanly."""
        log = self._work / "service.log"
        with log.open("wb") as file:
            service = subprocess.Popen(
                [self._bin / "tailfuse", "serve", bundle, "--port", "0"],
                cwd=self._work, env=clean_environment(), stdout=file, stderr=file,
            )  # fmt: skip
        try:
            yield wait_for_url(service, log)
            service.send_signal(signal.SIGTERM)
            if service.wait(START_TIMEOUT_S):
                raise SystemExit(f"release-check: the service ended with an error: {log.read_text()}")
        finally:
            if service.poll() is None:
                service.kill()
                service.wait()

    def run(self, program: str, *arguments: str) -> str:
        return run(self._bin / program, *arguments, cwd=self._work, env=clean_environment())


def wait_for_url(service: subprocess.Popen[bytes], log: Path) -> str:
    """Return the address in the log line that says that the service has started."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while service.poll() is None and time.monotonic() < deadline:
        for line in log.read_text().splitlines(keepends=True):
            if line.startswith("{") and line.endswith("\n") and json.loads(line)["message"] == "started":
                return str(json.loads(line)["url"])
        time.sleep(0.1)
    raise SystemExit(f"release-check: the service did not start: {log.read_text()}")


def clean_environment() -> dict[str, str]:
    """This process's environment without what would lead to the checkout or configure the service."""
    foreign = ("PYTHON", "TAILFUSE_", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)}


def run(*command: object, cwd: Path = ROOT, env: dict[str, str] | None = None) -> str:
    """Run a command and return its output. Raises SystemExit with all that it wrote if it fails."""
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"release-check: {' '.join(words)}:\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
