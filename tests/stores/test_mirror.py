"""A mirror follows a store, and holds whole bundles whatever the store does. No time passes here."""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tailfuse_service.bundle import BundleError, read_manifest
from tailfuse_service.stores import mirror as module
from tailfuse_service.stores.address import Address
from tailfuse_service.stores.cache import BundleCache
from tailfuse_service.stores.fetch import Limits
from tailfuse_service.stores.mirror import Mirror

from tests.support.bundles import write_tiny_bundle
from tests.support.remote import EndlessRemote, FakeRemote, FakeStore

ADDRESS = Address("s3", "models/skin")


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> FakeStore:
    fake = FakeStore()
    monkeypatch.setattr(module, "open_store", lambda _: fake)
    return fake


@pytest.fixture
def remote(tmp_path: Path) -> Callable[[str], FakeRemote]:
    """Makes a bundle of a version, as it lies in a store."""

    def make(version: str) -> FakeRemote:
        folder = tmp_path / f"made-{version}"
        return FakeRemote(folder if folder.exists() else write_tiny_bundle(folder, version=version))

    return make


def make_mirror(
    tmp_path: Path, *, poll_s: float = 0.0, timeout_s: float = 60.0, max_bytes: int = 10**6
) -> Mirror:
    cache = BundleCache(tmp_path / "cache")
    return Mirror(ADDRESS, cache, Limits(max_bytes), poll_s=poll_s, timeout_s=timeout_s)


def read_versions(mirror: Mirror) -> dict[str, str]:
    return {name: read_manifest(mirror.folder / name).version for name in mirror.names}


def test_each_folder_is_an_entry_and_new_ones_appear(
    tmp_path: Path, store: FakeStore, remote: Callable[[str], FakeRemote]
) -> None:
    (tmp_path / "cache").mkdir()
    store.bundles = {"1": remote("1"), "notes": FakeRemote(tmp_path / "cache")}
    mirror = make_mirror(tmp_path)
    mirror.start()
    assert read_versions(mirror) == {"1": "1"}
    store.bundles["2"] = remote("2")
    mirror.follow()
    assert read_versions(mirror) == {"1": "1", "2": "2"}
    del store.bundles["1"]
    mirror.follow()
    assert read_versions(mirror) == {"2": "2"}


def test_a_bundle_at_the_address_itself_is_one_entry_that_changes(
    tmp_path: Path, store: FakeStore, remote: Callable[[str], FakeRemote]
) -> None:
    store.bundles = {"": remote("1")}
    mirror = make_mirror(tmp_path)
    mirror.start()
    assert read_versions(mirror) == {"skin": "1"}
    inode = (mirror.folder / "skin" / "model.onnx").stat().st_ino
    store.bundles = {"": remote("2")}
    mirror.follow()
    assert read_versions(mirror) == {"skin": "2"}
    assert (mirror.folder / "skin" / "model.onnx").stat().st_ino != inode


def test_what_is_in_the_cache_is_not_fetched_again(
    tmp_path: Path, store: FakeStore, remote: Callable[[str], FakeRemote]
) -> None:
    store.bundles = {"1": remote("1")}
    make_mirror(tmp_path).start()
    store.bundles = {"moved": remote("1")}
    mirror = make_mirror(tmp_path)
    mirror.start()
    assert mirror.names == ["moved"]
    assert "model.onnx" not in store.bundles["moved"].read


def test_two_names_of_a_bundle_are_one_entry(
    tmp_path: Path, store: FakeStore, remote: Callable[[str], FakeRemote]
) -> None:
    store.bundles = {"latest": remote("1"), "v1": remote("1")}
    mirror = make_mirror(tmp_path)
    mirror.start()
    assert mirror.names == ["v1"]
    store.bundles = {"latest": remote("2"), "v1": remote("1")}
    mirror.follow()
    assert read_versions(mirror) == {"latest": "2", "v1": "1"}


@pytest.mark.parametrize(
    "failure",
    [ConnectionError("reset"), PermissionError("Forbidden"), TimeoutError(), FileNotFoundError("no"), None],
)
def test_a_failing_store_changes_nothing_and_is_logged_once(
    tmp_path: Path,
    store: FakeStore,
    remote: Callable[[str], FakeRemote],
    failure: Exception | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    store.bundles = {"1": remote("1")}
    mirror = make_mirror(tmp_path)
    mirror.start()
    store.failure, store.bundles = failure, {}  # None: it says that it is empty
    for _ in range(3):
        mirror.follow()
    assert read_versions(mirror) == {"1": "1"}
    [line] = [record for record in caplog.records if record.levelname == "ERROR"]
    assert line.message == "store not followed; its bundles stay"
    assert vars(line)["address"] == "s3://models/skin"
    again = make_mirror(tmp_path)
    again.start()  # a restart serves the bundles of before
    assert read_versions(again) == {"1": "1"}


def test_a_start_without_any_bundle_says_why(tmp_path: Path, store: FakeStore) -> None:
    store.failure = PermissionError("Forbidden")
    with pytest.raises(BundleError, match=r"^s3://models/skin: access denied \(Forbidden\)"):
        make_mirror(tmp_path).start()
    store.failure = None
    with pytest.raises(BundleError, match=r"^s3://models/skin holds no bundle"):
        make_mirror(tmp_path).start()


def test_a_bundle_that_cannot_be_used_spares_the_others_and_keeps_the_old_one(
    tmp_path: Path, store: FakeStore, remote: Callable[[str], FakeRemote], caplog: pytest.LogCaptureFixture
) -> None:
    store.bundles = {"1": remote("1"), "2": remote("2")}
    mirror = make_mirror(tmp_path)
    mirror.start()
    store.bundles["1"] = remote("3")
    store.bundles["1"].files["model.onnx"] = b"other"
    store.bundles["4"] = remote("4")
    mirror.follow()
    assert read_versions(mirror) == {"1": "1", "2": "2", "4": "4"}
    [line] = [vars(record) for record in caplog.records if record.levelname == "ERROR"]
    assert (line["message"], line["path"]) == ("bundle not fetched", "1")
    assert line["reason"].startswith("s3://models/skin: model.onnx is damaged")


def test_a_refused_bundle_is_fetched_ever_more_rarely_until_it_changes(
    tmp_path: Path, store: FakeStore, remote: Callable[[str], FakeRemote]
) -> None:
    bad = remote("2")
    good = bad.files["model.onnx"]
    bad.files["model.onnx"] = b"other"
    store.bundles = {"1": remote("1"), "2": bad}
    mirror = make_mirror(tmp_path)
    mirror.start()
    for _ in range(30):
        mirror.follow()
    assert bad.read.count("model.onnx") == 5  # at polls 0, 2, 5, 10 and 19
    bad.files["model.onnx"] = good
    mirror.follow(again=True)
    assert read_versions(mirror) == {"1": "1", "2": "2"}


def test_endless_bytes_leave_nothing_in_the_cache(
    tmp_path: Path, store: FakeStore, tiny_bundle: Path
) -> None:
    store.bundles = {"1": EndlessRemote(tiny_bundle)}
    with pytest.raises(
        BundleError, match=r"s3://models/skin: model\.onnx has more bytes than the limit allows"
    ):
        make_mirror(tmp_path).start()
    assert list((tmp_path / "cache" / "bundles").iterdir()) == []


def test_a_store_that_hangs_ends_a_start_and_is_not_asked_twice(
    tmp_path: Path, store: FakeStore, remote: Callable[[str], FakeRemote]
) -> None:
    go_on, hangs = threading.Event(), threading.Event()

    class Hanging(FakeRemote):
        def stream(self, file: str) -> Iterator[bytes]:
            hangs.set()
            assert go_on.wait(60)
            yield from super().stream(file)

    good = remote("1")
    store.bundles = {"1": Hanging(tmp_path / "made-1")}
    mirror = make_mirror(tmp_path, timeout_s=0.2)
    with pytest.raises(BundleError, match=r"^s3://models/skin: no answer within 0\.2 s$"):
        mirror.start()
    assert hangs.is_set()
    store.bundles = {"1": good}
    mirror.follow()  # the thread of before still holds the lock
    assert store.asked == 1
    go_on.set()


@pytest.mark.parametrize("name", ["..", ".hidden", "a/b", "a\\b", "a\nb", "x" * 200])
def test_a_folder_with_a_strange_name_is_no_entry(
    tmp_path: Path, store: FakeStore, remote: Callable[[str], FakeRemote], name: str
) -> None:
    store.bundles = {"1": remote("1"), name: remote("2")}
    mirror = make_mirror(tmp_path)
    mirror.start()
    assert mirror.names == ["1"]
    assert sorted(os.listdir(mirror.folder.parent)) == [mirror.folder.name]


def test_a_damaged_bundle_of_the_cache_is_fetched_again(
    tmp_path: Path, store: FakeStore, remote: Callable[[str], FakeRemote]
) -> None:
    store.bundles = {"1": remote("1")}
    mirror = make_mirror(tmp_path)
    mirror.start()
    (mirror.folder / "1" / "model.onnx").write_bytes(b"bad disk")
    again = make_mirror(tmp_path)
    again.start()
    assert read_versions(again) == {"1": "1"}


def test_workers_ask_once_for_all_of_them(
    tmp_path: Path, store: FakeStore, remote: Callable[[str], FakeRemote]
) -> None:
    store.bundles = {"1": remote("1")}
    workers = [make_mirror(tmp_path, poll_s=3600) for _ in range(3)]
    threads = [threading.Thread(target=worker.start) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for worker in workers:
        worker.follow()
        assert read_versions(worker) == {"1": "1"}
    assert store.bundles["1"].read.count("model.onnx") == 1
    asked = store.asked
    workers[0].follow(again=True)
    assert store.asked == asked + 1


def test_a_full_disk_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, store: FakeStore, remote: Callable[[str], FakeRemote], monkeypatch: pytest.MonkeyPatch
) -> None:
    store.bundles = {"1": remote("1")}

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "fetch_bundle", fail)
    with pytest.raises(BundleError, match="No space left on device"):
        make_mirror(tmp_path).start()
    assert list((tmp_path / "cache" / "bundles").iterdir()) == []


def test_a_cache_that_cannot_be_written_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleError, match=r"cache .*/file/cache cannot be written: .*--store-cache"):
        BundleCache(tmp_path / "file" / "cache")


def test_what_no_mirror_leads_to_is_removed_after_a_day(
    tmp_path: Path, store: FakeStore, remote: Callable[[str], FakeRemote]
) -> None:
    store.bundles = {"1": remote("1")}
    mirror = make_mirror(tmp_path)
    mirror.start()
    store.bundles = {"1": remote("2")}
    (tmp_path / "cache" / "bundles" / ".fetch-killed").mkdir()
    mirror.follow()
    folders = list((tmp_path / "cache" / "bundles").iterdir())
    assert len(folders) == 3  # a worker may still open the old one
    for folder in folders:
        os.utime(folder, (1, 1))
    mirror.follow()
    assert [folder.name for folder in (tmp_path / "cache" / "bundles").iterdir()] == [
        Path(os.readlink(mirror.folder / "1")).name
    ]
