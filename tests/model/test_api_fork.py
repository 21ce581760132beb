"""A model in a forked process: it says that it cannot answer, where it would wait for ever."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.bundles import write_tiny_bundle

FORKED = """
import multiprocessing, pickle, sys
import tailfuse

path, case = sys.argv[1:]
X = {"review": ["a dark spot"]}
model = None if case == "fork before" else tailfuse.load(path)
if case != "fork before":
    model.predict(X)
packed = pickle.dumps(model)

def answer():
    try:
        if case == "predict":
            tailfuse.predict(model, "rows.csv")
        opened = {"loaded before": model, "unpickled": pickle.loads(packed)}.get(case) or tailfuse.load(path)
        print(opened.predict(X), flush=True)
    except tailfuse.UserError as error:
        print(error, flush=True)

child = multiprocessing.get_context("fork").Process(target=answer)
child.start()
child.join(60)
if child.is_alive():
    child.kill()
    print("it hangs")
"""


@pytest.mark.parametrize("case", ["loaded before", "unpickled", "loaded after", "predict", "fork before"])
def test_a_forked_process_is_told_that_it_cannot_answer(tmp_path: Path, case: str) -> None:
    (tmp_path / "rows.csv").write_text("review\na dark spot\n")
    (tmp_path / "forked.py").write_text(FORKED)
    bundle = write_tiny_bundle(tmp_path / "bundle")
    done = subprocess.run(
        [sys.executable, "forked.py", bundle, case],
        cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    refused = (
        "was forked after a model was loaded, and threads do not survive a fork: start processes by spawn"
    )
    assert (refused in done.stdout) == (case != "fork before"), done.stderr
    assert ("['" in done.stdout) == (case == "fork before"), done.stdout
