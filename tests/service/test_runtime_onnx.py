"""Devices of the onnx runtime: what each becomes in onnxruntime's words, and no silent fallback."""

import subprocess
import sys
import warnings
from pathlib import Path

import onnxruntime
import pytest
from tailfuse_service.bundle import BundleError, open_bundle, open_graph, read_manifest
from tailfuse_service.bundle.runtime_onnx import choose_providers

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
EVERY = [TENSORRT, CUDA, CPU]


@pytest.mark.parametrize(
    ("device", "names"),
    [("cpu", [CPU]), ("cuda", [CUDA, CPU]), ("cuda:1", [CUDA, CPU]), ("tensorrt:1", [TENSORRT, CUDA, CPU])],
)
def test_a_device_is_its_providers_in_order_on_one_gpu(device: str, names: list[str]) -> None:
    providers = choose_providers(device, EVERY)
    assert [name for name, _ in providers] == names
    ids = {options["device_id"] for name, options in providers if name != CPU}
    assert ids == ({"1"} if device.endswith(":1") else {"0"} if device == "cuda" else set())


def test_shapes_that_change_are_not_tuned_for_one_by_one_and_products_are_whole() -> None:
    options = dict(choose_providers("cuda", EVERY))[CUDA]
    assert options["cudnn_conv_algo_search"] == "HEURISTIC"
    assert options["use_tf32"] == "0"


def test_engines_are_kept_in_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TAILFUSE_CACHE", str(tmp_path))
    options = dict(choose_providers("tensorrt", EVERY))[TENSORRT]
    assert options["trt_engine_cache_enable"] == "1"
    assert options["trt_engine_cache_path"] == str(tmp_path / "tensorrt")


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:one", "cpu:0", "cuda:-1", "", "CPU"])
def test_an_unknown_device_is_one_sentence_that_names_the_known_ones(device: str) -> None:
    with pytest.raises(BundleError) as raised:
        choose_providers(device, EVERY)
    assert str(raised.value).startswith(f"device '{device}' is none of the onnx runtime's: cpu, cuda, ")


@pytest.mark.parametrize(("device", "missing"), [("cuda", CUDA), ("cuda:1", CUDA), ("tensorrt", TENSORRT)])
def test_an_onnxruntime_without_the_provider_is_refused(device: str, missing: str, tiny_bundle: Path) -> None:
    if missing in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has it")
    with pytest.raises(BundleError) as raised:
        open_bundle(tiny_bundle, device=device)
    text = str(raised.value)
    assert text.startswith(f"device '{device}' needs {missing}; this onnxruntime has only ")
    assert CPU in text
    assert text.endswith("pip install onnxruntime-gpu")
    assert "\n" not in text


def test_a_provider_that_does_not_start_is_refused_and_nothing_falls_back(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if CUDA in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has it")
    # As where the libraries of CUDA are missing: the provider is listed, and the session does without it.
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: EVERY)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(BundleError, match=f"^device 'cuda': onnxruntime could not start {CUDA}, only "):
            open_bundle(tiny_bundle, device="cuda")


def test_cuda_that_came_as_pip_packages_is_loaded_first_and_in_silence(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    happened = []

    def preload() -> None:
        happened.append("preload")
        print("Failed to load libcudart.so.13")

    def start(*_: object, **__: object) -> None:
        happened.append("session")
        raise RuntimeError("no GPU")

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: EVERY)
    monkeypatch.setattr(onnxruntime, "preload_dlls", preload)
    monkeypatch.setattr(onnxruntime, "InferenceSession", start)
    for device in ("cuda", "cpu"):  # a processor needs none of them
        with pytest.raises(BundleError, match="no GPU"):
            open_bundle(tiny_bundle, device=device)
    assert happened == ["preload", "session", "session"]
    assert capsys.readouterr().out == ""


def test_onnxruntime_gets_one_queue_the_threads_asked_for_and_does_not_spin(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    session = onnxruntime.InferenceSession

    def remember(path: Path, options: onnxruntime.SessionOptions, *rest: object, **more: object) -> object:
        seen.append((options, more))
        return session(path, options, *rest, **more)

    monkeypatch.setattr(onnxruntime, "InferenceSession", remember)
    open_bundle(tiny_bundle, threads=2)
    ((options, more),) = seen
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (2, 1)
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert more == {"enable_fallback": 0}


def test_a_file_that_is_no_graph_is_one_sentence(tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"not a graph")
    with pytest.raises(BundleError, match=r"^model\.onnx cannot be loaded: ") as raised:
        open_graph(tmp_path / "model.onnx", read_manifest(tiny_bundle), runtime="onnx")
    assert "\n" not in str(raised.value)


def test_torch_is_not_imported_for_the_onnx_runtime(tiny_bundle: Path) -> None:
    script = (
        "import sys\nfrom pathlib import Path\nfrom tailfuse_service.app import create_app\n"
        "from tailfuse_service.bundle import open_bundle\nfrom tailfuse_service.settings import Settings\n"
        "path = Path(sys.argv[1])\ncreate_app(Settings(bundle=path), open_bundle(path))\n"
        "print('torch' in sys.modules, 'onnxruntime' in sys.modules)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, str(tiny_bundle)], capture_output=True, text=True, timeout=120
    )
    assert result.stdout.split() == ["False", "True"], result.stderr
