"""What can be known of the images without building one; `make images-check` builds and runs them."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.containers import CPU, DOCKERFILES, GPU, ROOT, TRAIN, instructions, sources, tool


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_hadolint_has_nothing_to_say(dockerfile: Path) -> None:
    done = subprocess.run([tool("hadolint"), str(dockerfile)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_every_image_has_one_pinned_base_and_runs_as_a_number_that_is_not_root(dockerfile: Path) -> None:
    base = r"BASE_IMAGE=python:3\.11\.14-slim-bookworm@sha256:[0-9a-f]{64}"
    assert re.fullmatch(base, instructions(dockerfile, "ARG")[0])
    assert instructions(dockerfile, "FROM") == ["${BASE_IMAGE} AS build", "${BASE_IMAGE}"]
    (user,) = instructions(dockerfile, "USER")
    assert user.split(":")[0].isdecimal()
    assert int(user.split(":")[0]) > 0


def test_the_gpu_s_image_is_the_processor_s_but_for_its_onnxruntime() -> None:
    cpu, gpu = (re.sub(r"^#.*\n", "", path.read_text(), flags=re.MULTILINE) for path in (CPU, GPU))
    only_there = [
        " && python -m pip --python /venv/bin/python uninstall --yes onnxruntime \\\n",
        " && python -m pip --python /venv/bin/python install --require-hashes --only-binary :all: -r gpu.txt"
        " \\\n",
        " requirements/gpu.txt",
        "    NVIDIA_VISIBLE_DEVICES=all \\\n",
        "    NVIDIA_DRIVER_CAPABILITIES=compute,utility \\\n",
        "    TAILFUSE_DEVICE=cuda \\\n",
        "-gpu",  # the title
        ", on a GPU",
    ]
    for part in only_there:
        assert gpu.count(part) == 1
        gpu = gpu.replace(part, "")
    assert gpu == cpu


def test_what_the_gpu_s_image_adds_is_pinned() -> None:
    lines = (ROOT / "docker" / "requirements-gpu.txt").read_text().splitlines()
    pins = [line.split("#")[0].strip() for line in lines if line and line[0] != "#"]
    assert [pin for pin in pins if not re.fullmatch(r"[a-z0-9-]+(\[[a-z,]+\])?==[\d.]+", pin)] == []
    assert {"onnxruntime-gpu", "nvidia-ml-py"} <= {re.split(r"[\[=]", pin)[0] for pin in pins}


def test_the_service_s_images_hold_the_service_alone_and_builds_see_what_they_take() -> None:
    common = {"LICENSE", "NOTICE", "pyproject.toml", "requirements/build.txt", "service"}
    assert sources(CPU) == common | {"requirements/serve.txt"}
    assert sources(GPU) == sources(CPU) | {"requirements/gpu.txt"}
    assert sources(TRAIN) - common == {
        "constraints.txt",
        "model",
        "requirements/torch.txt",
        "requirements/train.txt",
    }
    ignored, *let_through = (
        line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"
    )
    assert ignored == "*"
    seen = {source.partition("/")[0] for source in sources(GPU) | sources(TRAIN)}
    assert {line[1:] for line in let_through if line[0] == "!"} == seen


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_an_image_takes_from_the_index_only_packages_with_a_listed_sum(dockerfile: Path) -> None:
    commands = re.findall(
        r"-m pip(?: --python \S+)? (?:install|wheel) [^&;]*", " ".join(instructions(dockerfile, "RUN"))
    )
    by_version = [each for each in commands if "--require-hashes" not in each and "--no-index" not in each]
    # Another index has another build of torch, and an extra may want what nobody has pinned.
    expected = ["TORCH_INDEX", "$EXTRAS"] if dockerfile == TRAIN else []
    assert len(commands) > len(by_version)
    assert [word for word, each in zip(expected, by_version, strict=True) if word not in each] == []
