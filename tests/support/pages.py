"""Code blocks of the documentation, and the script that runs those of a page."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.ports import find_free_port
from tests.support.process import environment, ran

ROOT = Path(__file__).parents[2]
URL = "http://127.0.0.1:8000"
# A comment before a block says why no test runs it.
BLOCK = re.compile(
    r"^(?:<!-- not run: (?P<reason>[^\n]+) -->\n\n)?"
    r"```(?P<language>\w*)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
# Pages whose commands tests/e2e/test_pages.py runs.
PAGES = [
    "README.md",
    "SECURITY.md",
    "client/README.md",
    *(
        f"docs/{name}.md"
        for name in ("BENCH", "BUNDLE", "CONSOLE", "MODELS", "QUICKSTART", "SCORING", "TORCHSERVE")
    ),
    *(f"docs/tutorials/{name}.md" for name in ("images", "text", "sensors")),
    *(
        f"docs/howto/{name}.md"
        for name in ("encoder", "imbalance", "missing", "report", "tracking", "tuning", "unlabelled")
    ),
]
# The test that runs the blocks of a page in a language, for the other pages and languages.
RUN_BY = {
    ("client/README.md", "python"): "tests/client/test_readme.py",
    ("client-js/README.md", "js"): "tests/client_js/test_client_js.py",
    ("client-js/README.md", "ts"): "tests/client_js/test_client_js.py",
    ("docs/DEPLOY.md", "caddy"): "tests/e2e/test_deploy_document.py",
    ("docs/howto/generate-client.md", "python"): "tests/contract/test_generated_clients.py",
    ("docs/howto/generate-client.md", "sh"): "tests/contract/test_generated_clients.py",
    ("docs/howto/generate-client.md", "ts"): "tests/contract/test_generated_clients.py",
    ("docs/PROTOCOLS.md", "python"): "tests/support/oip/examples.py",
    ("docs/PROTOCOLS.md", "sh"): "tests/support/oip/examples.py",
    ("docs/PYTHON.md", "python"): "tests/model/test_api_document.py",
    ("docs/STORES.md", "sh"): "tests/stores/test_stores_document.py",
    ("docs/TUTORIAL.md", "python"): "tests/e2e/test_tutorial.py",
    ("docs/TUTORIAL.md", "sh"): "tests/e2e/test_tutorial.py",
}
# Other programs' servers: what their commands begin with, and where and how the started one answers.
SERVERS = {
    "tensorboard ": ("http://127.0.0.1:6006/data/runs", "tensorboard"),
    "mlflow models serve ": ("http://127.0.0.1:5001/ping", "200"),
}
PAGES_TEST = "tests/e2e/test_pages.py"
# What can be run. The others are printed text, and data and formulas, which other tests read.
CODE = ("caddy", "html", "js", "python", "sh", "ts")
SHORT = "--set training.epochs=6 --set training.folds=2"  # every run must end in seconds, not learn


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block. With a title it is the file of that name; with a reason no test runs it."""

    page: str
    line: int
    language: str
    title: str
    text: str
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def is_run(self) -> bool:
        """Whether it is commands, and nothing says why they are not run."""
        return self.language == "sh" and not self.reason


def find_test(block: Block) -> str:
    """Return the test that runs a block, as a command or as a file that commands name; empty if none does."""
    if block.reason:
        return ""
    if (block.page, block.language) in RUN_BY:
        return RUN_BY[block.page, block.language]
    return PAGES_TEST if block.page in PAGES and (block.is_run or block.title) else ""


def read_blocks(page: str) -> list[Block]:
    """Return the blocks of a page, by its path in the repository."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [
        Block(
            page,
            text[: match.start("language")].count("\n") + 1,
            match["language"],
            match["title"] or "",
            match["text"],
            match["reason"] or "",
        )
        for match in BLOCK.finditer(text)
    ]


def split_commands(script: str) -> Iterator[list[str]]:
    """Yield the words of each command: of pipelines, lists and lines that continue, too."""
    script = re.sub(r"(?m)(^|\s)#.*$", "", script.replace("\\\n", " "))
    lexer = shlex.shlex(script.replace("\n", " ;\n"), posix=True, punctuation_chars=";|&<>()")
    lexer.commenters = ""
    lexer.whitespace_split = True
    words: list[str] = []
    for word in lexer:
        if set(word) <= set(";|&()"):
            if words:
                yield words
            words = []
        else:
            words.append(word)
    if words:
        yield words


def make_script(blocks: Iterable[Block], port: int, begin: str = "") -> str:
    """Return a page as one script: its files are written and its commands run, as `shorten` says."""
    stop = "trap 'kill -- $SERVERS $(jobs -p) 2> /dev/null || true' EXIT"
    steps = ["set -eu", "SERVERS=", stop, shorten(begin, port)]
    for block in blocks:
        if block.title:
            steps.append(f"cat > {shlex.quote(block.title)} <<'END-OF-BLOCK'\n{block.text}END-OF-BLOCK")
        elif block.is_run:
            steps.append(shorten(block.text, port))
    script = "\n".join(steps).replace(URL, f"http://127.0.0.1:{port}")
    for address, _ in SERVERS.values():
        script = re.sub(rf"(?<=[ :]){urlsplit(address).port}\b", str(find_free_port()), script)
    return script


def shorten(commands: str, port: int) -> str:
    """Return commands with short trainings, and one service at a time, on a port, that has started."""
    lines = []
    for line in commands.replace("\\\n", " ").splitlines():
        code, _, _ = line.partition("  #")
        code = re.sub(r"\bcurl ", "curl -sSf ", code)
        if re.match(r"tailfuse train ", code):
            code = f"{code.rstrip()} {SHORT}"
        if code.startswith("tailfuse serve "):
            code = "kill $(jobs -p) 2> /dev/null && wait || true\n" + (
                f"{code.rstrip().removesuffix('&')} --port {port} &\n"
                f"until curl -sf -o /dev/null {URL}/readyz; do kill -0 $!; sleep 0.1; done"
            )
        for begin, (address, told) in SERVERS.items():
            if code.startswith(begin):
                code = start_server(code, address, told)
        lines.append(code)
    return "\n".join(lines)


def start_server(command: str, address: str, told: str) -> str:
    """Return a command that starts a server with the processes that it starts, and waits for its answer."""
    return (
        f'setsid {command.rstrip().removesuffix("&")} & SERVERS="$SERVERS -$!"\n'
        f"until curl -s -w '%{{http_code}}' {address} | grep -q {told}; do kill -0 $!; sleep 0.1; done"
    )


def run_script(
    script: str, folder: Path, variables: Mapping[str, str] | None = None, timeout_s: int = 900
) -> subprocess.CompletedProcess[str]:
    """Run a script in a folder; its programs are those of this environment before the system's."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    own = environment(PATH=path, OMP_NUM_THREADS="1", **(variables or {}))
    return ran("bash", "-c", script, cwd=folder, timeout=timeout_s, env=own)
