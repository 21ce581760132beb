"""The JavaScript client: its own tests, its README, and a browser, each with a real service."""

import json
import os
import re
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from starlette.testclient import TestClient
from tailfuse_service.bundle import Bundle

from tests.support.generators import describe_unusual
from tests.support.keys import KEY
from tests.support.process import environment, ran, start_service
from tests.support.programs import MIN_NODE, locate

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "client-js"
README = (CLIENT / "README.md").read_text()
PACKAGE = json.loads((CLIENT / "package.json").read_text())
PAGE = """
<!doctype html><pre id="answer"></pre>
<script type="module">
  import { Client } from "/src/index.js";
  const image = await (await fetch("/lesion.png")).blob();
  const client = new Client(location.hash.slice(1));
  const answer = await client.predict({ image, notes: "spot" });
  const problem = await client.predict({ clinical: { ages: 1 } }).catch((error) => error);
  const present = Object.values(answer.modalities).map((modality) => modality.present);
  document.querySelector("#answer").textContent = JSON.stringify([present, problem.slug]);
</script>
"""


@pytest.mark.needs("node")
def test_its_own_tests_pass(tiny_bundle: Path, picture: bytes, tmp_path: Path) -> None:
    (tmp_path / "lesion.png").write_bytes(picture)
    (tmp_path / "keys").write_text(f"tests: {KEY}\n")
    service = start_service(tiny_bundle, "--api-keys", str(tmp_path / "keys"), log=tmp_path / "service.log")
    told = {
        "TAILFUSE_URL": service.url, "TAILFUSE_KEY": KEY, "TAILFUSE_IMAGE": str(tmp_path / "lesion.png")
    }  # fmt: skip
    try:
        done = ran(locate("node"), "--test", cwd=CLIENT, env=environment(**told))
    finally:
        assert service.stop() == 0
    assert done.returncode == 0, done.stdout
    counts = dict(re.findall(r"^# (pass|fail|skipped) (\d+)$", done.stdout, re.MULTILINE))
    assert int(counts["pass"]) > 50
    assert (counts["fail"], counts["skipped"]) == ("0", "0")


@pytest.mark.needs("node")
def test_the_readme_s_code_runs_and_says_what_it_says(
    tiny_bundle: Path, picture: bytes, tmp_path: Path
) -> None:
    (tmp_path / "lesion.jpg").write_bytes(picture)
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "tailfuse-client").symlink_to(CLIENT)
    service = start_service(tiny_bundle, log=tmp_path / "service.log")  # without keys: any is taken
    try:
        code = "\n".join(re.findall(r"```js\n(.*?)```", README, re.DOTALL))
        (tmp_path / "readme.mjs").write_text(code.replace("http://127.0.0.1:8000", service.url))
        done = ran(locate("node"), "readme.mjs", cwd=tmp_path)
    finally:
        assert service.stop() == 0
    assert done.returncode == 0, done.stderr
    assert "no answer: modality 'clinical', column 'age'" in done.stdout
    assert "modality 'clinical' has no column 'ages' (422 unknown-column)" in done.stdout
    assert "{ clinical: " in done.stdout


def test_the_readme_has_the_defaults_of_the_code() -> None:
    source = "".join(file.read_text() for file in (CLIENT / "src").glob("*.js"))
    for name, constant in (
        ("timeoutMs", "TIMEOUT_MS"),
        ("deadlineMs", "DEADLINE_MS"),
        ("retries", "RETRIES"),
    ):
        [value] = re.findall(rf"const {constant} = ([\d_]+);", source)
        assert f"`{name}` ({int(value)})" in " ".join(README.split())


@pytest.fixture
def site(tmp_path: Path, picture: bytes) -> Iterator[str]:
    """A web server with the client's files and a page; yields its origin."""
    (tmp_path / "src").symlink_to(CLIENT / "src")
    (tmp_path / "lesion.png").write_bytes(picture)
    (tmp_path / "index.html").write_text(PAGE)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.slow
@pytest.mark.needs("chromium")
def test_it_works_in_a_browser(site: str, tiny_bundle: Path, tmp_path: Path) -> None:
    service = start_service(tiny_bundle, "--cors-origins", site, log=tmp_path / "service.log")
    try:
        done = ran(
            locate("chromium"), "--headless", "--disable-gpu", "--no-sandbox",
            f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=20000", "--dump-dom",
            f"{site}/#{service.url}",
        )  # fmt: skip
    finally:
        assert service.stop() == 0
    assert '<pre id="answer">[[true,false,true],"unknown-column"]</pre>' in done.stdout, done.stdout


def test_its_metadata_are_those_of_the_other_distributions() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "client" / "pyproject.toml").read_text())["project"]
    for member in ("name", "version", "license"):
        assert PACKAGE[member] == project[member]
    assert (CLIENT / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert PACKAGE["engines"]["node"] == ">=" + ".".join(map(str, MIN_NODE))
    assert not PACKAGE.get("dependencies")


def test_the_generated_types_have_every_schema_and_operation() -> None:
    """That they are current to the letter, only the generator can say: the test below."""
    types = (CLIENT / "types" / "openapi.d.ts").read_text()
    document = yaml.safe_load((ROOT / "openapi" / "openapi.yaml").read_text())
    for name, schema in document["components"]["schemas"].items():
        [body] = re.findall(rf"^        {name}: (.*?^        \}}|[^{{\n]*)", types, re.MULTILINE | re.DOTALL)
        for member in schema.get("properties", {}):
            assert re.search(rf"^            {member}\??:", body, re.MULTILINE), (name, member)
    for path in document["paths"].values():
        for operation in path.values():
            assert f'operations["{operation["operationId"]}"]' in types


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of client-js/ and openapi/ with the tools of package.json; returns that of client-js/."""
    copy = tmp_path_factory.mktemp("checkout")
    listed = ("git", "ls-files", "--cached", "--others", "--exclude-standard", "client-js", "openapi")
    tracked = ran(*listed, cwd=ROOT)
    for name in tracked.stdout.split():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes((ROOT / name).read_bytes())
    run_all(copy / "client-js", [locate("npm"), "ci", "--no-audit"])
    return copy / "client-js"


def run_all(folder: Path, *commands: list[str]) -> None:
    """Run commands in a folder; each must succeed. Those of npm find the Node that the tests have."""
    path = f"{Path(locate('node')).parent}{os.pathsep}{os.environ['PATH']}"
    for command in commands:
        done = ran(*command, cwd=folder, timeout=600, env=environment(PATH=path))
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


@pytest.mark.slow
@pytest.mark.needs("git", "npm", "node")
def test_the_documents_pass_the_lint_and_have_types(
    checkout: Path, client: TestClient, bundle: Bundle, tmp_path: Path
) -> None:
    """The committed one, that of a running service, and that of every kind of modality."""
    tools = checkout / "node_modules" / ".bin"
    described = client.get("/openapi.json").json()
    (tmp_path / "live.json").write_text(json.dumps(described))
    (tmp_path / "unusual.json").write_text(json.dumps(describe_unusual(described, bundle)))
    run_all(checkout, [locate("npm"), "run", "lint:openapi"])
    for name in ("live", "unusual"):
        run_all(
            tmp_path,
            [str(tools / "redocly"), "lint", f"{name}.json"],
            [str(tools / "openapi-typescript"), f"{name}.json", "--output", f"{name}.ts"],
            [str(tools / "tsc"), "--noEmit", "--strict", f"{name}.ts"],
        )


@pytest.mark.slow
@pytest.mark.needs("git", "npm", "node")
def test_the_package_is_typed_current_and_installs_elsewhere(checkout: Path, tmp_path: Path) -> None:
    """Its types are those that the generator makes of the document, and programs compile and run."""
    run_all(checkout, [locate("npm"), "run", "openapi"])
    committed = (CLIENT / "types" / "openapi.d.ts").read_text()
    assert (checkout / "types" / "openapi.d.ts").read_text() == committed, "make types-js"
    run_all(checkout, [locate("npm"), "pack"])  # builds the declarations first

    (tmp_path / "package.json").write_text('{"type": "module"}')
    [package] = checkout.glob("*.tgz")
    [program] = re.findall(r"```ts\n(.*?)```", README, re.DOTALL)
    (tmp_path / "right.ts").write_text(program)
    (tmp_path / "wrong.ts").write_text(program.replace("number[]", "string[]"))
    (tmp_path / "run.js").write_text('import { Client } from "tailfuse-client"; new Client("http://host");')
    options = "--noEmit --strict --module nodenext --target es2022"
    tsc = [str(checkout / "node_modules" / ".bin" / "tsc"), *options.split()]
    run_all(
        tmp_path, [locate("npm"), "install", "--offline", "--no-audit", str(package)], [*tsc, "right.ts"],
        [locate("node"), "run.js"],
    )  # fmt: skip
    with pytest.raises(AssertionError, match="Type 'number' is not assignable to type 'string'"):
        run_all(tmp_path, [*tsc, "wrong.ts"])
