"""The console's modules pass TypeScript's checks, with the types of the service's own document."""

import os
import shutil
from pathlib import Path

import pytest

from tests.support.process import environment, ran
from tests.support.programs import locate

ROOT = Path(__file__).parents[3]
CONSOLE = Path("service/tailfuse_service/console")
CLIENT_FILES = ("package.json", "package-lock.json", "tsconfig.console.json", "types/openapi.d.ts")


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.needs("npm", "node")
def test_the_modules_are_typed(tmp_path: Path) -> None:
    shutil.copytree(ROOT / CONSOLE, tmp_path / CONSOLE)
    client = tmp_path / "client-js"
    for name in CLIENT_FILES:
        (client / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "client-js" / name, client / name)
    path = f"{Path(locate('node')).parent}{os.pathsep}{os.environ['PATH']}"
    npm, env = locate("npm"), environment(PATH=path)
    assert ran(npm, "ci", "--no-audit", cwd=client, timeout=600, env=env).returncode == 0
    checked = ran(npm, "run", "check:console", cwd=client, timeout=600, env=env)
    assert checked.returncode == 0, checked.stdout
    (tmp_path / CONSOLE / "views" / "wrong.js").write_text("/** @type {number} */\nexport const one = '1';\n")
    wrong = ran(npm, "run", "check:console", cwd=client, timeout=600, env=env)
    assert "Type 'string' is not assignable to type 'number'" in wrong.stdout
