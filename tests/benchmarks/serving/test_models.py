"""The bundles that `make bench-models` puts into its folder."""

from pathlib import Path

from serving_bench.models import copy_bundle, rotate_class_names
from tailfuse_service.bundle import open_bundle


def test_a_copy_is_a_bundle_of_another_version_and_takes_the_old_ones_place(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    for version in ("7", "8"):
        copy_bundle(tiny_bundle, tmp_path, "entry", version)
        assert open_bundle(tmp_path / "entry").manifest.version == version
    assert [path.name for path in tmp_path.iterdir()] == ["entry"]


def test_a_worse_one_says_one_class_for_another(tiny_bundle: Path, tmp_path: Path) -> None:
    copy_bundle(tiny_bundle, tmp_path, "entry", "2", rotate_class_names)
    good, bad = open_bundle(tiny_bundle), open_bundle(tmp_path / "entry")
    sample = good.sample({"notes": "a spot"})
    assert (good.run([sample]).probabilities == bad.run([sample]).probabilities).all()
    assert good.manifest.class_names == ["nv", "mel", "bkl"]
    assert bad.manifest.class_names == ["mel", "bkl", "nv"]
