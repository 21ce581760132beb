"""A folder of bundles: what is new, has changed or has gone, and what cannot be used. No time passes here."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tailfuse_service.bundle import BundleError
from tailfuse_service.bundle.files import pack, sign_bundle
from tailfuse_service.bundle.signature import write_key_pair
from tailfuse_service.errors import NotReady
from tailfuse_service.models.repository import RefreshResult, Repository
from tailfuse_service.settings import Settings
from tailfuse_service.trial.trials import Trials

from tests.support.bundles import write_tiny_bundle
from tests.support.trials import pass_all


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "bundles"


@pytest.fixture
def put(folder: Path) -> Callable[..., Path]:
    """Writes a bundle into the folder by a rename, as one should."""
    folder.mkdir()

    def write(name: str, version: str = "1", model: str = "a") -> Path:
        beside = write_tiny_bundle(folder.parent / "beside", version=version, name=model)
        if name.endswith(".zip"):
            pack(beside, folder / name)
            shutil.rmtree(beside)
            return folder / name
        shutil.rmtree(folder / name, ignore_errors=True)
        return beside.rename(folder / name)

    return write


def make_repository(folder: Path, trials: Trials | None = None) -> Repository:
    return Repository(Settings(bundle=folder), trials or pass_all())


def replace_during_trial(put: Callable[..., Path], name: str) -> Trials:
    """Return trials during which another version is put in the bundle's place."""

    def replace(*_: object) -> None:
        put(name, "9")

    return Trials(replace)


def test_a_single_bundle_is_called_as_the_setting_says(put: Callable[..., Path]) -> None:
    for name in ("plain", "packed.zip"):
        path = put(name, model="of-the-manifest")
        repository = Repository(Settings(bundle=path, name="lesions"), pass_all())
        repository.open({})
        assert versions(repository) == ["lesions:1"]
        assert repository.refresh({}, again=True).n_opened == 1  # and after a reload
        assert versions(repository) == ["lesions:1"]


def test_a_folder_of_bundles_has_no_name(folder: Path, put: Callable[..., Path]) -> None:
    put("one")
    with pytest.raises(BundleError, match=r"is a folder of bundles.*without --name"):
        Repository(Settings(bundle=folder, name="lesions"), pass_all()).open({})


@pytest.mark.parametrize("name", ["a/b", "two words", ".", "-x", "x\n", "é"])
def test_a_name_that_a_path_cannot_have_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(ValueError, match="is not a name of letters"):
        Settings(bundle=folder, name=name)


def settled(repository: Repository, **unloaded: str) -> RefreshResult:
    """What has changed is opened at the second look, when it changes no more."""
    assert repository.refresh(unloaded).n_opened == 0
    return repository.refresh(unloaded)


def versions(repository: Repository) -> list[str]:
    return sorted(":".join(bundle.manifest.of) for bundle in repository.bundles)


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    found = [(record.message, vars(record).get("path", "")) for record in caplog.records]
    caplog.clear()
    return found


@pytest.fixture(autouse=True)
def logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "tailfuse")


def test_all_that_can_be_used_is_opened_and_the_rest_is_left_out_and_logged(
    folder: Path, put: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    put("one")
    put("two.zip", "2")
    put(".hidden", "3")
    put("broken", "4").joinpath("model.onnx").write_bytes(b"")
    (folder / "no.zip").write_bytes(b"PK")
    (folder / "empty").mkdir()
    (folder / "notes.txt").write_text("not a bundle")
    (folder / "dead").symlink_to("nowhere")
    repository = make_repository(folder)
    assert [bundle.manifest.version for bundle in repository.open({})] == ["1", "2"]
    assert sorted(lines(caplog)) == [
        ("bundle loaded", "one"), ("bundle loaded", "two.zip"),
        ("bundle not loaded", "broken"), ("bundle not loaded", "no.zip"),
    ]  # fmt: skip
    assert repository.refresh({}) == repository.refresh({}) == RefreshResult(False)
    assert lines(caplog) == []  # once is enough


def test_a_folder_with_nothing_in_it_is_one_sentence(folder: Path, put: Callable[..., Path]) -> None:
    with pytest.raises(BundleError, match=r"has no manifest.json, and no bundle in it can be used$"):
        make_repository(folder).open({})
    (folder / "no.zip").write_bytes(b"PK")
    with pytest.raises(
        BundleError, match=r"can be used; no.zip: .* is neither a bundle's folder nor a .zip$"
    ):
        make_repository(folder).open({})


def test_a_new_bundle_is_opened_when_it_has_stopped_changing(folder: Path, put: Callable[..., Path]) -> None:
    put("one")
    repository = make_repository(folder)
    repository.open({})
    put("two", "2")
    assert repository.refresh({}) == RefreshResult(False)
    os.utime(folder / "two" / "model.onnx", (1, 1))  # it is still being written
    assert repository.refresh({}) == RefreshResult(False)
    assert repository.refresh({}) == RefreshResult(True, 1)
    assert versions(repository) == ["a:1", "a:2"]
    assert repository.refresh({}) == RefreshResult(False)


def test_a_changed_bundle_takes_the_place_of_the_old_one_and_one_that_has_gone_leaves(
    folder: Path, put: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    put("one")
    put("two.zip", "2")
    repository = make_repository(folder)
    one, _ = repository.open({})
    put("two.zip", "3")
    assert settled(repository) == RefreshResult(True, 1)
    assert repository.bundles[0] is one
    assert versions(repository) == ["a:1", "a:3"]
    caplog.clear()
    shutil.rmtree(folder / "one")
    refreshed = repository.refresh({})
    assert refreshed == RefreshResult(True)
    assert lines(caplog) == []  # not before others answer
    refreshed.log_changes()
    assert lines(caplog) == [("bundle unloaded", "one")]
    assert versions(repository) == ["a:3"]


def test_a_bad_change_leaves_the_old_bundle_and_is_logged_once(
    folder: Path, put: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    put("one")
    repository = make_repository(folder)
    (one,) = repository.open({})
    caplog.clear()
    with (folder / "one" / "model.onnx").open("ab") as file:
        file.write(b"\0")
    assert settled(repository) == RefreshResult(False, n_refused=1)
    assert repository.refresh({}) == RefreshResult(False)
    assert repository.bundles == [one]
    assert lines(caplog) == [("bundle not loaded; the old one stays", "one")]
    assert repository.refresh({}, again=True) == RefreshResult(False, n_refused=1)  # a signal tries once more
    put("one", "2")
    assert settled(repository) == RefreshResult(True, 1)
    assert versions(repository) == ["a:2"]


def test_of_two_with_the_same_name_and_version_the_second_is_refused_until_the_first_has_gone(
    folder: Path, put: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    put("b")
    put("c")
    repository = make_repository(folder)
    (held,) = repository.open({})
    assert repository.entries["b"].bundle is held
    (refusal,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert vars(refusal)["reason"] == "c is model 'a', version '1', and so is b"
    put("a")  # it comes first by name, but b is there already
    assert settled(repository) == RefreshResult(False, n_refused=1)
    shutil.rmtree(folder / "b")
    assert repository.refresh({}) == RefreshResult(True, 1, 1)
    assert repository.entries["a"].bundle is not None
    assert repository.entries["c"].problem == "c is model 'a', version '1', and so is a"
    assert versions(repository) == ["a:1"]


def test_what_was_unloaded_stays_out_until_it_changes(folder: Path, put: Callable[..., Path]) -> None:
    put("one")
    put("two", "2")
    repository = make_repository(folder)
    repository.open({})
    stamp = repository.find_fingerprint("one")
    assert stamp is not None
    assert repository.refresh({"one": stamp}) == RefreshResult(True)
    assert repository.refresh({"one": stamp}, again=True) == RefreshResult(False)
    assert versions(repository) == ["a:2"]
    assert make_repository(folder).open({"one": stamp})[0].manifest.version == "2"  # as another worker starts
    put("one", "3")
    assert settled(repository, one=stamp) == RefreshResult(True, 1)
    assert versions(repository) == ["a:2", "a:3"]


def test_a_folder_that_cannot_be_read_leaves_everything_and_is_logged_once(
    folder: Path, put: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    put("one")
    repository = make_repository(folder)
    repository.open({})
    caplog.clear()
    folder.rename(folder.with_name("elsewhere"))
    assert repository.refresh({}) == repository.refresh({}) == RefreshResult(False)
    assert versions(repository) == ["a:1"]
    assert lines(caplog) == [("folder not read; its bundles stay", "")]
    folder.with_name("elsewhere").rename(folder)
    assert repository.refresh({}) == RefreshResult(False)


def test_names_that_cannot_be_shown_are_left_alone(folder: Path, put: Callable[..., Path]) -> None:
    put("one")
    os.rename(os.fsencode(put("two", "2")), os.fsencode(folder) + b"/\xff")
    put("tw\no", "3")
    repository = make_repository(folder)
    repository.open({})
    assert versions(repository) == ["a:1"]


def test_a_single_bundle_is_opened_anew_only_when_told(tiny_bundle: Path) -> None:
    repository = make_repository(tiny_bundle)
    (first,) = repository.open({})
    assert repository.refresh({}) == RefreshResult(False)
    assert repository.refresh({}, again=True) == RefreshResult(True, 1)
    assert repository.bundles[0] is not first
    assert repository.bundles[0].manifest == first.manifest


def test_what_is_put_in_the_place_of_a_bundle_during_its_trial_is_not_opened(
    folder: Path, put: Callable[..., Path]
) -> None:
    put("one")
    repository = make_repository(folder, replace_during_trial(put, "one"))
    with pytest.raises(BundleError, match=r"one was replaced during its trial$"):
        repository.open({})
    assert settled(make_repository(folder)) == RefreshResult(True, 1)  # it is tried in its turn


def test_of_a_zip_that_is_replaced_during_its_trial_the_tried_one_is_opened(
    folder: Path, put: Callable[..., Path]
) -> None:
    put("one.zip")
    repository = make_repository(folder, replace_during_trial(put, "one.zip"))
    assert [bundle.manifest.version for bundle in repository.open({})] == ["1"]


def test_a_bundle_that_goes_away_during_its_trial_is_one_sentence(
    folder: Path, put: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    one = put("one")
    repository = make_repository(folder, Trials(lambda *_: shutil.rmtree(one)))
    with pytest.raises(BundleError, match=r"one is not a bundle: manifest\.json: No such file"):
        repository.open({})


def test_what_no_trusted_key_has_signed_is_not_even_tried(
    folder: Path, put: Callable[..., Path], tmp_path: Path
) -> None:
    put("one")
    write_key_pair(tmp_path / "key.pem", tmp_path / "key.pub")
    tried: list[Path] = []
    settings = Settings(bundle=folder, trusted_keys=tmp_path / "key.pub")
    repository = Repository(settings, Trials(lambda path, *_: tried.append(path)))
    with pytest.raises(BundleError, match="is not signed"):
        repository.open({})
    assert tried == []
    sign_bundle(folder / "one", tmp_path / "key.pem")
    assert settled(repository) == RefreshResult(True, 1)
    assert tried == [folder / "one"]


def test_a_single_bundle_is_tried_when_it_is_opened_anew_and_not_before(
    tiny_bundle: Path, next_bundle: Path, tmp_path: Path
) -> None:
    tried: list[str] = []
    link = tmp_path / "served"
    link.symlink_to(tiny_bundle)
    repository = make_repository(link, Trials(lambda _, manifest, __: tried.append(manifest.version)))
    repository.open({})
    assert tried == []
    link.unlink()
    link.symlink_to(next_bundle)
    assert repository.refresh({}, again=True) == RefreshResult(True, 1)
    assert tried == ["4"]


def test_a_stop_during_a_trial_is_no_problem_of_the_bundle(
    folder: Path, put: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    def stop(*_: object) -> None:
        raise NotReady("the service is stopping")

    put("one")
    repository = make_repository(folder, Trials(stop))
    repository.refresh({})
    with pytest.raises(NotReady):
        repository.refresh({})
    assert lines(caplog) == []
