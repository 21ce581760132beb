"""Code blocks of the documentation, and the script that runs those of a page."""

import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
URL = "http://127.0.0.1:8000"
BLOCK = re.compile(r"^```(\w*)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Blocks with these programs are not run: they install, build images, start containers or other servers, need
# a GPU, or send to another host.
NOT_RUN = {"docker", "git", "make", "mlflow", "nvidia-smi", "pip", "sudo", "tensorboard", "wandb"}
SHORT = "--set training.epochs=6 --set training.folds=2"  # every run must end in seconds, not learn


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block. With a title it is the file of that name."""

    page: str
    line: int
    language: str
    title: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def is_run(self) -> bool:
        """Whether it is commands, and none of NOT_RUN."""
        return self.language == "sh" and not NOT_RUN & set(find_programs(self.text))


def read_blocks(page: str) -> list[Block]:
    """Return the blocks of a page, by its path in the repository."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [
        Block(page, text[: match.start()].count("\n") + 1, match[1], match[2] or "", match[3])
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


def find_programs(script: str) -> Iterator[str]:
    """Yield the program of each command, behind variables that are set for it."""
    for words in split_commands(script):
        yield from [word for word in words if not re.match(r"\w+=", word)][:1]


def make_script(blocks: Iterable[Block], port: int) -> str:
    """Return a page as one script: its files are written and its commands run, as `shorten` says."""
    steps = ["set -eu", "trap 'kill $(jobs -p) 2> /dev/null || true' EXIT"]
    for block in blocks:
        if block.title:
            steps.append(f"cat > {shlex.quote(block.title)} <<'END-OF-BLOCK'\n{block.text}END-OF-BLOCK")
        elif block.is_run:
            steps.append(shorten(block.text, port))
    return "\n".join(steps).replace(URL, f"http://127.0.0.1:{port}")


def shorten(commands: str, port: int) -> str:
    """Return commands with short trainings, services on a port, and a wait until each has started."""
    lines = []
    for line in commands.replace("\\\n", " ").splitlines():
        code, _, _ = line.partition("  #")
        if re.match(r"tailfuse train ", code):
            code = f"{code.rstrip()} {SHORT}"
        if re.match(r"tailfuse serve .*&$", code.rstrip()):
            code = f"{code.rstrip().removesuffix('&')} --port {port} &\n" + (
                f"until curl -sf -o /dev/null {URL}/readyz; do kill -0 $!; sleep 0.1; done"
            )
        lines.append(code)
    return "\n".join(lines)
