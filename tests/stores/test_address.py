"""Addresses: what is a path, what is refused, and that no secret is ever shown."""

import pytest
from tailfuse_service.stores.address import mask_secrets, parse_address
from tailfuse_service.stores.store import describe_failure

USABLE = {
    "s3://models/skin/4": ("s3", "models/skin/4"),
    "S3://models/skin/": ("s3", "models/skin"),
    "https://models.example.org:8443/skin": ("https", "models.example.org:8443/skin"),
    "http://127.0.0.1:9000/skin": ("http", "127.0.0.1:9000/skin"),
    "http://localhost/skin": ("http", "localhost/skin"),
    "http://[::1]:80/skin": ("http", "[::1]:80/skin"),
    "file:///srv/models/": ("file", "/srv/models"),
    "hf://acme/skin@main": ("hf", "acme/skin@main"),
    "oci://ghcr.io/acme/skin:4": ("oci", "ghcr.io/acme/skin:4"),
    "mlflow:models:/skin@champion": ("mlflow", "models:/skin@champion"),
}
PATHS = ["runs/skin/bundle", "/srv/bundle.zip", "C:\\models", "s3:models", "a b://c", "mlflow", "1://x", ""]
REFUSED = {
    "ftp://host/skin": "'ftp://' is not a known kind",
    "s3a://models/skin": "known: az, file, gs",
    "s3://": "incomplete",
    "https:///": "incomplete",
    "s3://models/../other": "must not hold '//', '.' or '..'",
    "s3://models//skin": "must not hold '//'",
    "s3://models/./skin": "must not hold",
    "s3://models/skin.zip": "not as a .zip",
    "s3://models/a b": "must not hold spaces",
    "s3://models/a\nb": "must not hold spaces",
    "file://srv/models": "an absolute path",
    "http://models.example.org/skin": "use https",
    "http://127.0.0.1.example.org/skin": "use https",
    "http://localhost.example.org/skin": "use https",
}
SECRET = "hunter2"
WITH_SECRETS = [
    f"https://me:{SECRET}@host/skin",
    f"s3://{SECRET}@models/skin",
    f"https://host/skin?token={SECRET}",
    f"az://c/skin?sig={SECRET}",
    f"https://host/skin#{SECRET}",
    f"http://{SECRET}@127.0.0.1/skin",
]


@pytest.mark.parametrize(("text", "parts"), USABLE.items(), ids=USABLE)
def test_an_address_has_a_scheme_and_a_path(text: str, parts: tuple[str, str]) -> None:
    address = parse_address(text)
    assert address is not None
    assert (address.scheme, address.path) == parts
    assert parse_address(str(address)) == address


@pytest.mark.parametrize("text", PATHS)
def test_what_is_no_address_is_a_path(text: str) -> None:
    assert parse_address(text) is None


@pytest.mark.parametrize(("text", "says"), REFUSED.items(), ids=REFUSED)
def test_an_address_that_cannot_be_used_is_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says.replace(".", r"\.")):
        parse_address(text)


@pytest.mark.parametrize("text", WITH_SECRETS)
def test_an_address_with_a_secret_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(ValueError, match="must not hold") as refused:
        parse_address(text)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("text", WITH_SECRETS)
def test_a_failure_shows_no_secret_of_an_address_that_it_names(text: str) -> None:
    told = describe_failure(RuntimeError(f"500, message='no', url='{text.replace('#', '?')}'"))
    assert "500, message='no'" in told
    assert SECRET not in told


@pytest.mark.parametrize(
    ("name", "text"), [("skin", "s3://models/skin"), ("bundle", "s3://..."), ("skin-4", "oci://h/skin:4")]
)
def test_a_bundle_at_the_address_itself_has_a_name_that_is_a_plain_one(name: str, text: str) -> None:
    address = parse_address(text)
    assert address is not None
    assert address.name == name


def test_what_is_no_secret_is_not_masked() -> None:
    assert mask_secrets("GET https://host/a@b/c failed? s3://x") == "GET https://host/a@b/c failed? s3://x"
