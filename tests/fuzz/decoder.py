"""Fuzzing with atheris: whatever bytes come, the outcome is a value or a ClientError.

`make fuzz` runs it, from the hostile corpus on. An input that breaks it is written to ./crash-*; give it to
`python -m tests.fuzz.decoder crash-…` to see why, mend that, and add it to the corpus.
"""

import logging
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["tailfuse_service", "python_multipart", "PIL"]):
    from tests.support.reading import read, seeds


def main() -> None:
    """Takes libFuzzer's own flags, such as -max_total_time=60."""
    logging.disable()  # the form's parser warns of every mistake
    with tempfile.TemporaryDirectory() as folder:
        for at, seed in enumerate(seeds()):
            (Path(folder) / f"{at:04}").write_bytes(seed)
        once = len(sys.argv) > 1 and Path(sys.argv[1]).is_file()
        flags = ["-max_len=65536", "-timeout=20", "-rss_limit_mb=2048"]
        atheris.Setup([*sys.argv, *flags, *([] if once else [folder])], read)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
