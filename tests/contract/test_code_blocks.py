"""Every code block of the documentation can be read, and is run by a test or says why not.

YAML is checked by the spec's models where it is a spec or a part of one, JSON by the schema of answers where
it is an answer, and shell commands by the options of tailfuse's commands and the targets of the Makefile.
"""

import ast
import json
import re
import subprocess
from pathlib import Path

import click
import pytest
import yaml
from jsonschema import Draft202012Validator
from tailfuse.cli import COMMANDS, main
from tailfuse.spec.schema import Spec, load_spec
from tailfuse_bench.command import command as bench

from docs.assemble import find_pages
from tests.support.pages import CODE, PAGES, ROOT, RUN_BY, Block, find_test, read_blocks, split_commands
from tests.support.pages_record import RECORD, make_record
from tests.support.process import ran
from tests.support.programs import locate

BLOCKS = [block for page in sorted(find_pages()) for block in read_blocks(page)]
LANGUAGES = {"", "caddy", "html", "js", "json", "math", "promql", "python", "sh", "text", "ts", "yaml"}
GENERATED = re.compile(r"docs/reference/|.*\.ipynb$")  # usage of commands; cells, which another test runs
PROMPT = re.compile(r"\s*(\$ |(pip|python3?|tailfuse|make|curl|docker|npm|git|import|from) )")
TARGETS = set(re.findall(r"^([\w./-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
REST_OF_SPEC = {
    "name": "x",
    "table": "x.csv",
    "label": "y",
    "modalities": {"a": {"kind": "tabular", "columns": "x"}},
}


def parametrize_blocks(*languages: str) -> pytest.MarkDecorator:
    """Return the parametrisation of the blocks in these languages."""
    return pytest.mark.parametrize("block", [each for each in BLOCKS if each.language in languages], ids=str)


@pytest.mark.parametrize("page", sorted(find_pages()))
def test_every_fence_is_closed_and_of_a_known_language(page: str) -> None:
    fences = re.findall(r"^\s*```.*$", (ROOT / page).read_text(), re.MULTILINE)
    blocks = read_blocks(page)
    assert len(fences) == 2 * len(blocks)
    assert {block.language for block in blocks} <= LANGUAGES


@pytest.mark.needs("git")
def test_every_page_with_a_block_is_known() -> None:
    tracked = ran("git", "ls-files", "*.md", "*.ipynb", cwd=ROOT)
    with_blocks = {page for page in tracked.stdout.split() if "```" in (ROOT / page).read_text()}
    assert tracked.returncode == 0
    assert with_blocks - set(find_pages()) == set()


@parametrize_blocks("json")
def test_json_is_valid_and_answers_are_answers(block: Block) -> None:
    document = json.loads(block.text)
    if "request_id" in document:
        openapi = yaml.safe_load((ROOT / "openapi" / "openapi.yaml").read_text())
        schema = {"$ref": "#/components/schemas/Answer", "components": openapi["components"]}
        document["probabilities"].pop("…", None)
        Draft202012Validator(schema).validate(document)


@parametrize_blocks("yaml")
def test_yaml_is_a_spec_or_a_part_of_one(block: Block, tmp_path: Path) -> None:
    document = yaml.safe_load(block.text)
    if not document.keys() & Spec.model_fields.keys():
        assert block.title or document  # of another program
        return
    assert document.keys() <= Spec.model_fields.keys(), block
    missing = {key: value for key, value in REST_OF_SPEC.items() if key not in document}
    (tmp_path / "spec.yaml").write_text(block.text + yaml.safe_dump(missing) * bool(missing))
    load_spec(tmp_path / "spec.yaml")


@parametrize_blocks("python")
def test_python_compiles(block: Block) -> None:
    ast.parse(block.text)


@pytest.mark.parametrize("page", [page for page in sorted(find_pages()) if not GENERATED.match(page)])
def test_no_code_hides_from_the_tests(page: str) -> None:
    text = (ROOT / page).read_text()
    assert not re.search(r"^\s*~~~|<pre", text, re.MULTILINE), "write a fence of three backticks"
    blocks = read_blocks(page)
    marked = [block.language for block in blocks if block.reason]
    assert text.count("<!-- not run: ") == len(marked) + text.count("`<!-- not run: ")
    assert set(marked) <= set(CODE)
    printed = [block for block in blocks if block.language in ("", "text")]
    assert not [block for block in printed if PROMPT.match(block.text)], "commands are of the language sh"


@parametrize_blocks(*CODE)
def test_every_block_is_run_or_says_why_not(block: Block) -> None:
    assert find_test(block) or block.reason, f"{block}: neither run nor marked"
    assert not (block.title and block.reason and block.page in PAGES), (
        f"{block}: marked, but written to a file"
    )


def test_the_record_of_what_is_run_is_current() -> None:
    assert RECORD.read_text() == make_record(), "docs/TESTED.md is stale: make docs-report"


def test_the_record_counts_what_is_run_and_what_is_not() -> None:
    blocks = [
        Block("README.md", 1, "sh", "", "ls\n"),
        Block("README.md", 9, "sh", "", "rm x\n", "it removes"),
    ]
    record = make_record(blocks, {})
    assert "| that tests run | 1 |\n| that are not run | 1 |\n" in record
    assert "| [README.md](../README.md) | 1 | 1 | [tests/e2e/test_pages.py]" in record
    assert "| [README.md](../README.md) | `rm x` | it removes |" in record


def test_blocks_that_are_run_have_a_test_that_names_their_page() -> None:
    for (page, language), test in RUN_BY.items():
        assert Path(page).name in (ROOT / test).read_text(), test
        assert [block for block in BLOCKS if (block.page, block.language) == (page, language)], page


@parametrize_blocks("promql")
@pytest.mark.needs("promtool")
def test_queries_are_valid(block: Block, tmp_path: Path) -> None:
    rules = {"groups": [{"name": "docs", "rules": [{"record": "docs:query", "expr": block.text}]}]}
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(rules))
    done = subprocess.run(
        [locate("promtool"), "check", "rules", tmp_path / "rules.yml"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@parametrize_blocks("sh")
def test_shell_commands_parse(block: Block) -> None:
    done = subprocess.run(["bash", "-n", "-c", block.text], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@parametrize_blocks("sh")
def test_commands_have_the_options_that_are_shown(block: Block) -> None:
    for words in split_commands(block.text):
        match words:
            case ["make", target, *_] if "=" not in target:
                assert target in TARGETS
            case ["tailfuse", name, *rest] if not name.startswith("-"):
                assert name in COMMANDS
                check_options(name, rest)


def check_options(name: str, words: list[str]) -> None:
    """Check that a command has each option of these words."""
    context = click.Context(main)
    command = bench if name == "bench" else main.get_command(context, name)
    assert command
    known = {
        option for param in command.get_params(context) for option in (*param.opts, *param.secondary_opts)
    }
    given = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    assert given <= known, f"tailfuse {name} has no {given - known}"


def test_the_checks_see_what_is_wrong() -> None:
    with pytest.raises(AssertionError, match="--retry"):
        check_options("train", ["spec.yaml", "--retry"])
    with pytest.raises(AssertionError, match="--sets-of"):
        check_options("bench", ["--sets-of", "pie"])
    assert list(split_commands("a b | c 'd; e' && f \\\n g; h > i\nj  # k")) == [
        ["a", "b"], ["c", "d; e"], ["f", "g"], ["h", ">", "i"], ["j"],
    ]  # fmt: skip
