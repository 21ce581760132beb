"""What somebody who typed an unknown command probably wanted."""

import difflib
import shlex
from collections.abc import Collection, Sequence
from pathlib import Path

from tailfuse.files.formats import is_spec, is_table

# Words of other tools for the same things.
SYNONYMS = {
    "train": ("fit", "learn", "run", "finetune", "fine-tune"),
    "init": ("new", "create", "spec", "infer", "inspect", "config"),
    "evaluate": ("test", "eval", "validate", "report"),
    "predict": ("classify", "inference", "apply"),
    "score": ("batch", "batch-predict", "predict-batch"),
    "serve": ("server", "start", "up", "deploy", "api", "host"),
    "export": ("convert", "onnx", "torchscript", "quantize", "quantise", "pack", "package", "save"),
    "adapt": ("calibrate", "update", "shift"),
    "call": ("request", "client", "query", "curl", "ask"),
    "demo": ("example", "quickstart", "try", "tutorial"),
    "tune": ("search", "optimise", "optimize", "hpo"),
    "compare": ("diff", "versus"),
    "bench": ("benchmark",),
    "--help": ("help", "usage", "commands"),
    "--version": ("version",),
}
COMMAND_BY_WORD = {word: command for command, words in SYNONYMS.items() for word in words}


def suggest_command(word: str, rest: Sequence[str], known: Collection[str]) -> str:
    """Return `; did you mean: tailfuse train spec.yaml` for a word that is no command; else nothing.

    `rest` are the words that follow it, `known` the commands.
    """
    if is_spec(word):
        return make_hint("train", word, *rest)
    if is_table(word):
        return make_hint("init", word, *rest)
    if (Path(word) / "manifest.json").is_file():
        return make_hint("serve", word, *rest)
    close = difflib.get_close_matches(word.lower(), known, n=1)
    command = COMMAND_BY_WORD.get(word.lower()) or next(iter(close), None)
    if command is None:
        return ""
    return make_hint(command) if command.startswith("--") else make_hint(command, *rest)


def make_hint(*words: str) -> str:
    """Return the end of a message that suggests a command, quoted for a shell."""
    return f"; did you mean: {shlex.join(['tailfuse', *words])}"
