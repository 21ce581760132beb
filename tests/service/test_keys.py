"""Who may ask: keys from files, read again when they change, and no public address without them."""

import os
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pydantic import ValidationError
from tailfuse_service import __main__ as main
from tailfuse_service.errors import Forbidden, Unauthorized
from tailfuse_service.http import auth as keys
from tailfuse_service.http.auth import KeyCheck, Keys, find_key, make_key_check
from tailfuse_service.http.paths import Access
from tailfuse_service.settings import Settings
from tailfuse_service.settings.key_file import read_keys

ALICE, BOB, ROOT = "alice-0123456789abcdef", "Bob+/0123456789ABCDEF==", "root.0123456789~abcdef"
OPEN = ["/healthz", "/readyz", "/metrics"]
PAGES = ["/"]  # without any data: see tests/service/console/
CLOSED = ["/model", "/docs", "/openapi.json", "/console/model.json", "/nope"]


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Keys of callers, and one of an admin."""
    api, admin = tmp_path / "keys", tmp_path / "admin"
    api.write_text(f"# who may ask\n\nalice: {ALICE}\n  {BOB}\n")
    admin.write_text(f"root:{ROOT}\n")
    return {"api_keys": api, "admin_keys": admin}


@pytest.fixture
def locked(make_client: Any, bundle: Any, files: dict[str, Path]) -> Any:
    return make_client(bundle, **files)


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every request looks at the file."""
    monkeypatch.setattr(keys, "CHECK_S", 0.0)


@pytest.mark.parametrize("path", OPEN + PAGES)
def test_what_looks_after_the_service_needs_no_key(locked: Any, path: str) -> None:
    assert locked.get(path).status_code == 200


@pytest.mark.parametrize("path", CLOSED)
def test_everything_else_needs_one(locked: Any, path: str) -> None:
    response = locked.get(path, follow_redirects=False)
    assert (response.status_code, response.json()["type"]) == (401, "urn:tailfuse:problem:unauthorized")
    assert response.headers["www-authenticate"] == "Bearer"
    assert locked.get(path, headers=bearer(ALICE), follow_redirects=False).status_code != 401


@pytest.mark.parametrize("path", ["/predict", "/predict/batch"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        bearer("wrong-0123456789abcdef"),
        bearer(ALICE[:-1]),
        bearer(f"{ALICE}x"),
        bearer(""),
        {"Authorization": ALICE},
        {"Authorization": f"Basic {ALICE}"},
        {"X-API-Key": "wrong"},
        {"X-API-Key": f"alice: {ALICE}"},
        {"X-API-Key": "wrong", **bearer(ALICE)},
    ],
    ids=str,
)
def test_no_key_and_a_wrong_key_are_refused(locked: Any, path: str, headers: dict[str, str]) -> None:
    response = locked.post(path, json={"inputs": {"notes": "x"}}, headers=headers)
    assert (response.status_code, response.json()["type"]) == (401, "urn:tailfuse:problem:unauthorized")
    assert ALICE not in response.text


@pytest.mark.parametrize(
    "headers",
    [
        bearer(ALICE),
        bearer(BOB),
        bearer(ROOT),
        {"X-API-Key": BOB},
        {"Authorization": f"bearer   {ALICE} "},
        {"X-API-Key": ALICE, "Authorization": "Basic x"},
    ],
    ids=str,
)
def test_any_of_the_keys_opens(locked: Any, headers: dict[str, str]) -> None:
    assert locked.post("/predict", json={"inputs": {"notes": "x"}}, headers=headers).status_code == 200


def test_without_a_file_nobody_is_asked(client: Any) -> None:
    assert make_key_check(None, None) is None
    assert client.post("/predict", json={"inputs": {"notes": "x"}}).status_code == 200


def test_admin_paths_take_an_admins_key_only(locked: Any) -> None:
    assert locked.get("/admin/models").status_code == 401
    refused = locked.get("/admin/models", headers=bearer(ALICE))
    assert (refused.status_code, refused.json()["type"]) == (403, "urn:tailfuse:problem:forbidden")
    assert locked.get("/admin/models", headers=bearer(ROOT)).status_code == 200


def test_admin_keys_alone_leave_the_rest_open(files: dict[str, Path]) -> None:
    access = make_key_check(None, files["admin_keys"])
    assert access is not None
    access.check([], Access.CLIENT)
    with pytest.raises(Unauthorized):
        access.check([], Access.ADMIN)
    access.check([(b"X-Api-Key", ROOT.encode())], Access.ADMIN)


def test_without_admin_keys_nobody_is_an_admin(files: dict[str, Path]) -> None:
    access = KeyCheck(Keys(files["api_keys"]), None)
    with pytest.raises(Forbidden):
        access.check([(b"authorization", f"Bearer {ALICE}".encode())], Access.ADMIN)


def test_every_key_is_compared_whichever_is_right(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = Keys(files["api_keys"])
    compared: list[bytes] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append(one)
        return one == other

    monkeypatch.setattr("hmac.compare_digest", compare)
    for key, is_known in ((ALICE, True), (BOB, True), ("wrong", False)):
        compared.clear()
        assert (key.encode() in known) is is_known
        assert len(compared) == 2


def test_names_of_headers_may_be_written_in_any_way() -> None:
    assert find_key([(b"X-API-KEY", b" k ")]) == b"k"
    assert find_key([(b"AUTHORIZATION", b"BEARER k")]) == b"k"
    assert find_key([(b"host", b"x"), (b"authorization", b"k")]) is None


@pytest.mark.usefixtures("hurried")
def test_a_changed_file_is_read_again(locked: Any, files: dict[str, Path]) -> None:
    assert locked.get("/model", headers=bearer(BOB)).status_code == 200
    replaced = files["api_keys"].with_name("new")
    replaced.write_text(f"carol: {ROOT}-of-carol\n")
    os.replace(replaced, files["api_keys"])
    assert locked.get("/model", headers=bearer(BOB)).status_code == 401
    assert locked.get("/model", headers=bearer(f"{ROOT}-of-carol")).status_code == 200


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_text(""),
        lambda path: path.write_text("# all of them gone\n"),
        lambda path: path.write_text("short\n"),
        lambda path: path.write_bytes(b"\xff\xfe"),
        lambda path: path.unlink(),
    ],
    ids=["empty", "comments", "a short key", "no text", "gone"],
)
def test_a_spoilt_file_leaves_the_old_keys_and_is_logged_once(
    locked: Any, files: dict[str, Path], spoil: Any, caplog: pytest.LogCaptureFixture
) -> None:
    spoil(files["api_keys"])
    for _ in range(3):
        assert locked.get("/model", headers=bearer(ALICE)).status_code == 200
        assert locked.get("/model").status_code == 401
    (record,) = [each for each in caplog.records if each.levelname == "ERROR"]
    assert "the old ones stay" in record.message
    assert ALICE not in str(vars(record))


@pytest.mark.usefixtures("hurried")
def test_a_bad_line_keeps_no_revoked_key_valid(
    locked: Any, files: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    """The good lines count, and a metric tells of the others."""
    assert "\ntailfuse_key_file_problems 0.0\n" in locked.get("/metrics").text
    files["api_keys"].write_bytes(f"{BOB}\nnew: short\n".encode() + b"\xff\xfe\n")  # ALICE is revoked
    assert locked.get("/model", headers=bearer(ALICE)).status_code == 401
    assert locked.get("/model", headers=bearer(BOB)).status_code == 200
    assert "\ntailfuse_key_file_problems 2.0\n" in locked.get("/metrics").text
    (record,) = [each for each in caplog.records if each.levelname == "ERROR"]
    assert "line 2" in vars(record)["reason"]
    files["api_keys"].write_text(f"{BOB}\n")
    assert "\ntailfuse_key_file_problems 0.0\n" in locked.get("/metrics").text


def test_the_file_is_looked_at_once_a_second_at_most(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic()
    monkeypatch.setattr("tailfuse_service.http.auth.time.monotonic", lambda: now)
    known = Keys(files["api_keys"])
    files["api_keys"].write_text(f"{ROOT}\n")
    now += 0.9
    assert ALICE.encode() in known
    now += 0.2
    assert ALICE.encode() not in known
    assert ROOT.encode() in known


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "contains no keys"),
        ("\n# none\n", "contains no keys"),
        (f"{ALICE}\nname: short\n", "line 2: a key is 16 or more"),
        ("two words of many letters\n", "line 1: a key is 16 or more"),
        ("schlüssel-0123456789abcdef\n", "line 1"),
    ],
)
def test_a_file_that_is_wrong_is_one_sentence_without_a_key(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "keys"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=says) as refusal:
        read_keys(file)
    assert ALICE not in str(refusal.value)
    with pytest.raises(ValidationError, match=says):
        Settings(bundle=Path("b"), api_keys=file)


def test_a_file_that_is_not_there_stops_the_start() -> None:
    result = CliRunner().invoke(main.command, ["b", "--admin-keys", "/nope"])
    assert result.exit_code == 2
    assert "--admin-keys (TAILFUSE_ADMIN_KEYS): /nope: No such file" in result.output


PUBLIC = ["0.0.0.0", "::", "192.168.1.7", "2001:db8::1", "example.org"]


@pytest.mark.parametrize("host", PUBLIC)
def test_a_public_address_wants_keys_or_a_word(host: str, files: dict[str, Path]) -> None:
    result = CliRunner().invoke(main.command, ["b", "--host", host])
    assert result.exit_code == 2
    (error,) = [line for line in result.output.splitlines() if line.startswith("Error: ")]
    assert error.startswith(f"Error: other machines can reach {host}")
    assert Settings(bundle=Path("b"), host=host, allow_anonymous=True).host == host
    assert Settings(bundle=Path("b"), host=host, api_keys=files["api_keys"]).host == host
    with pytest.raises(ValidationError, match="can reach"):  # these guard /admin/ alone
        Settings(bundle=Path("b"), host=host, admin_keys=files["admin_keys"])


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_this_machine_alone_needs_no_keys(host: str) -> None:
    assert Settings(bundle=Path("b"), host=host).api_keys is None


def test_the_word_may_be_a_flag_or_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Settings] = []
    monkeypatch.setattr(main, "serve", seen.append)
    assert CliRunner().invoke(main.command, ["b", "--host", "::", "--allow-anonymous"]).exit_code == 0
    monkeypatch.setenv("TAILFUSE_ALLOW_ANONYMOUS", "true")
    assert CliRunner().invoke(main.command, ["b", "--host", "::"]).exit_code == 0
    assert [settings.allow_anonymous for settings in seen] == [True, True]
