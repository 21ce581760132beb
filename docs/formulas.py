"""Formulas of pages as MathML, which browsers show without a script.

Pages write TeX as GitHub reads it: a block of the language `math`, or dollar signs around code in a line.
"""

import re

from latex2mathml.converter import convert

BLOCK = re.compile(r"^```math\n(.*?)^```$", re.DOTALL | re.MULTILINE)
IN_LINE = re.compile(r"\$`([^`\n]+)`\$")
# The converter sets no space around names of functions, and browsers set too much around a bar.
SPACING = {
    re.compile(r"(<mi>(?:log|exp)</mi>)(?!<mo)"): r'\1<mspace width="0.17em"/>',
    re.compile(r"(?<!<mrow>)(?<!</mo>)(<mi>(?:log|exp)</mi>)"): r'<mspace width="0.17em"/>\1',
    re.compile(r"<mo[^>]*>&#x0007C;</mo>"): '<mo lspace="0" rspace="0">&#x0007C;</mo>',
}
UNKNOWN = re.compile(r"\\[A-Za-z]+|&(?!#?\w+;)")  # what the converter has left as it was


class BrokenFormula(ValueError):
    """A formula has a command that the converter does not know, or unbalanced braces."""


def replace_formulas(text: str) -> str:
    """Return a page with its formulas as MathML."""
    text = BLOCK.sub(lambda match: make_mathml(match[1], "block"), text)
    # In a span, for Markdown ends a paragraph where a line begins with <math>.
    return IN_LINE.sub(lambda match: f"<span>{make_mathml(match[1], 'inline')}</span>", text)


def make_mathml(tex: str, display: str) -> str:
    r"""Return a formula as MathML on one line. Raises BrokenFormula.

    >>> make_mathml(r"\alpha", "inline")
    '<math xmlns="http://www.w3.org/1998/Math/MathML" display="inline"><mrow><mi>&#x003B1;</mi></mrow></math>'
    """
    if tex.count("{") != tex.count("}"):
        raise BrokenFormula(f"unbalanced braces in the formula {tex.strip()}")
    mathml = convert(" ".join(tex.split()), display=display)
    if unknown := UNKNOWN.search(mathml):
        raise BrokenFormula(f"unknown command {unknown[0]} in the formula {tex.strip()}")
    for pattern, replacement in SPACING.items():
        mathml = pattern.sub(replacement, mathml)
    return mathml
