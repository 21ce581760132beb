"""Examples in docs/PROTOCOLS.md."""

import re
from pathlib import Path

from tests.support.process import Service

PAGE = (Path(__file__).parents[3] / "docs" / "PROTOCOLS.md").read_text(encoding="utf-8")


def example(begin: str, service: Service) -> str:
    """The block of code with these words, for the running service."""
    block: str = next(block for block in re.findall(r"```\w+\n(.*?)```", PAGE, re.DOTALL) if begin in block)
    return block.replace("127.0.0.1:8000", service.url.removeprefix("http://"))
