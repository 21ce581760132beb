"""The notebooks run from their first cell to the last, and hold the outputs of a run."""

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[2] / "docs" / "notebooks"
NOTEBOOKS = sorted(path.stem for path in FOLDER.glob("*.ipynb"))


def read_notebook(name: str) -> Any:
    """Return a notebook of docs/notebooks, checked by its schema."""
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    return notebook


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_it_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = read_notebook(name)
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    ).execute()
    printed = [output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", ())]
    assert not [text for text in printed if "Error:" in text or "Traceback" in text]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_it_uses_the_python_api_and_no_commands(name: str) -> None:
    code = [cell.source for cell in read_notebook(name).cells if cell.cell_type == "code"]
    assert "import tailfuse" in code[0]
    assert not [source for source in code if re.search(r"^[!%]|subprocess", source, re.MULTILINE)]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_what_is_shown_is_a_whole_run_without_errors(name: str) -> None:
    cells = [cell for cell in read_notebook(name).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        assert cell.outputs or cell.source.rstrip().endswith(";")
        for output in cell.outputs:
            assert output.output_type != "error"
            assert "\\x1b" not in str(output)  # colours of a terminal, which a page cannot show
            assert not re.search("/(root|home|tmp)/", str(output))  # of whoever ran it
