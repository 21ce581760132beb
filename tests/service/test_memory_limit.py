"""How much memory there is, how much of it requests may take, and how many rows of a model fit."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tailfuse_service.bundle import Batch, Bundle, BundleError, Output
from tailfuse_service.bundle.runtime_onnx import OnnxRuntime
from tailfuse_service.cgroups import find_machine_memory, find_memory_limit
from tailfuse_service.http.memory import Hold, RequestMemory
from tailfuse_service.http.memory_plan import MIN_BYTES, MemoryPlan
from tailfuse_service.inference.rows import limit_rows, run_largest_batch
from tailfuse_service.modalities.decoding import DecodingMemory
from tailfuse_service.models.repository import Repository
from tailfuse_service.settings import Settings

from tests.support.bundles import FakeRuntime


@pytest.fixture
def groups(tmp_path: Path) -> Callable[[str, dict[str, str]], int]:
    """Read the limit of a made tree of control groups."""

    def read(own: str, files: dict[str, str]) -> int:
        (tmp_path / "proc" / "self").mkdir(parents=True)
        (tmp_path / "proc" / "self" / "cgroup").write_text(own)
        for name, text in files.items():
            file = tmp_path / "root" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return find_memory_limit(tmp_path / "proc", tmp_path / "root")

    return read


@pytest.mark.parametrize(
    ("own", "files", "limit"),
    [
        ("0::/\n", {"memory.max": "536870912\n"}, 536870912),
        ("0::/\n", {"memory.max": "max\n"}, None),
        ("0::/a/b\n", {"a/memory.max": "4096\n", "a/b/memory.max": "8192\n"}, 4096),
        ("0::/host/docker/1\n", {"memory.max": "4096\n"}, 4096),  # its path is the host's
        ("4:memory:/a\n0::/\n", {"memory/a/memory.limit_in_bytes": "4096\n"}, 4096),
        ("4:cpu,memory:/x\n", {"memory/memory.limit_in_bytes": "4096\n"}, 4096),
        ("4:memory:/\n", {"memory/memory.limit_in_bytes": "9223372036854771712\n"}, None),
        ("0::/c\n", {"unified/c/memory.max": "4096"}, 4096),
        ("", {}, None),
    ],
)
def test_the_smallest_limit_of_all_groups_counts(
    groups: Any, own: str, files: dict[str, str], limit: int | None
) -> None:
    assert groups(own, files) == (find_machine_memory() if limit is None else limit)


def test_workers_share_the_memory() -> None:
    settings = Settings(bundle=Path("b"), memory_limit_mb=1024, workers=4)
    assert settings.memory_bytes == 256 * 2**20


def test_the_plan_leaves_what_the_process_holds_anyway(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    requests, decoding = RequestMemory(), DecodingMemory()
    plan = MemoryPlan(1000 * 2**20, requests, decoding)
    resident = SimpleNamespace(bytes=200 * 2**20)
    monkeypatch.setattr("tailfuse_service.http.memory_plan.read_resident_bytes", lambda: resident.bytes)
    plan.adjust()
    assert requests.limit == decoding.limit == int(0.4 * 700 * 2**20)
    resident.bytes = 500 * 2**20
    hold = Hold(requests)
    hold.take(250 * 2**20)
    plan.adjust()  # what is held explains it: 250 of 500 are requests', 250 are not
    assert requests.limit == int(0.4 * 650 * 2**20)
    hold.keep(0)
    resident.bytes = 150 * 2**20  # a model has gone
    plan.adjust()
    assert requests.limit == int(0.4 * 750 * 2**20)
    resident.bytes = 990 * 2**20
    for _ in range(2):
        plan.adjust()
    assert requests.limit == MIN_BYTES
    assert [each.message for each in caplog.records] == ["little memory is left for requests"]


def test_rows_of_a_large_model_are_limited_by_memory(bundle: Bundle) -> None:
    settings = Settings(bundle=Path("b"), memory_limit_mb=512)
    assert limit_rows(bundle, settings) == (settings.max_queue, settings.max_batch_size)
    image = bundle.manifest.modalities["image"].model_copy(update={"height": 1000, "width": 1000})
    large: Any = SimpleNamespace(manifest=bundle.manifest.model_copy(update={"modalities": {"image": image}}))
    queue = 512 * 2**20 // 16 // image.max_row_bytes
    assert limit_rows(large, settings) == (queue, queue // 4)


def test_the_largest_batch_is_run_as_a_bundle_is_opened_if_memory_is_limited(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    run = OnnxRuntime.run

    def note(runtime: OnnxRuntime, batch: Batch) -> Output:
        sizes.append(len(batch.presence))
        return run(runtime, batch)

    monkeypatch.setattr(OnnxRuntime, "run", note)
    for limit, expected in ((512, 64), (None, 2)):
        sizes.clear()
        Repository(Settings(bundle=tiny_bundle, memory_limit_mb=limit)).open({})
        assert max(sizes) == expected


def test_a_graph_that_cannot_take_a_whole_batch_is_refused(bundle: Bundle, runtime: FakeRuntime) -> None:
    def fail(batch: Batch) -> Output:
        raise MemoryError("too much")

    runtime.get_output = fail
    broken = replace(bundle, runtime=runtime)
    with pytest.raises(BundleError, match="does not run with a whole batch: too much"):
        run_largest_batch(broken, Settings(bundle=Path("b"), memory_limit_mb=512))
