"""Numbers, truth values and known names are found however a cell spells them, and nothing else is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tailfuse_service.modalities.tabular.spelling import (
    NUMBER,
    KnownNames,
    MissingTexts,
    NumberFormat,
    parse_boolean,
    parse_number,
    spell,
    unify,
)

GERMAN = NumberFormat(decimal=",", thousands=".", unit="€")
DOLLARS = NumberFormat(thousands=",", unit="$")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1", 1.0), ("-0.0", -0.0), (".5", 0.5), ("5.", 5.0), ("1E5", 1e5), ("1e-05", 1e-5), ("+3", 3.0),
        ("07.25", 7.25),
        (" 7.25 ", 7.25), ("7.25\xa0", 7.25), ("9" * 42, float("9" * 42)),
        ("", None), (".", None), ("1_000", None), ("1,5", None), ("nan", None), ("inf", None),
        ("1e999", None),
        ("0x10", None), ("١٢", None), ("1 000", None), ("12 kg", None), ("--1", None), ("1e", None),
    ],
)  # fmt: skip
def test_a_plain_number_is_read(text: str, number: float | None) -> None:
    assert parse_number(text) == number


@pytest.mark.parametrize(
    ("text", "style", "number"),
    [
        ("1.234,50 €", GERMAN, 1234.5), ("€ 7", GERMAN, 7.0), ("-3,25", GERMAN, -3.25),
        ("1.000.000", GERMAN, 1e6),
        ("7.25", GERMAN, None), ("1.23,4", GERMAN, None), ("1,2,3", GERMAN, None),
        ("12.34.567", GERMAN, None),
        ("$1,200.50", DOLLARS, 1200.5), ("-$5", DOLLARS, -5.0), ("$-5", DOLLARS, -5.0),
        ("1,20", DOLLARS, None),
        ("1.5,000", DOLLARS, None), ("€5", DOLLARS, None),
        ("12 %", NumberFormat(unit="%"), 12.0), ("12", NumberFormat(unit="%"), 12.0),
        ("1 234", NumberFormat(thousands=" "), 1234.0), ("1'234.5", NumberFormat(thousands="'"), 1234.5),
        ("\u22121\u202f234,5\u00a0€", NumberFormat(decimal=",", thousands=" ", unit="€"), -1234.5),
        ("1\u2019234.5", NumberFormat(thousands="'"), 1234.5),
        ("1\u00a023", NumberFormat(thousands=" "), None),
        ("7,25", NumberFormat(decimal=","), 7.25), ("7.25", NumberFormat(decimal=","), None),
    ],
)  # fmt: skip
def test_a_number_is_read_as_its_column_writes_them(
    text: str, style: NumberFormat, number: float | None
) -> None:
    assert parse_number(text, style) == number


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53))
def test_what_python_writes_is_read_again(number: float) -> None:
    assert parse_number(str(number)) == number
    assert parse_number(spell(number)) == number


@pytest.mark.parametrize(
    ("text", "truth"),
    [("True", True), ("FALSE", False), (" 1 ", True), ("0.0", False), ("yes", None), ("2", None), ("", None)],
)
def test_a_truth_value_is_read(text: str, truth: bool | None) -> None:
    assert parse_boolean(text) is truth


@pytest.mark.parametrize(
    ("names", "cell", "found"),
    [
        (["1.0", "2.0"], "1.0", "1.0"), (["1.0", "2.0"], "1", "1.0"), (["1.0", "2.0"], 1, "1.0"),
        (["1.0", "2.0"], 1.0, "1.0"),
        (["1", "2"], 1.0, "1"), (["1", "2"], "01.0", None), (["1.50"], 1.5, "1.50"),
        (["1e-05"], 0.00001, "1e-05"),
        (["1E5"], "100000", "1E5"), (["0"], "-0.0", "0"), (["0"], -0.0, "0"), ([".5"], "0.50", ".5"),
        (["250.0", "250.00"], "250.00", "250.00"), (["250.0", "250.00"], "250.000", None),
        (["250.0", "250.00"], 250.0, None),
        (["250", "250.0"], 250.0, "250"),
        (["001", "1"], "1", "1"), (["001"], "1", None), (["001"], "001", "001"), (["1"], "001", None),
        (["True", "False"], True, "True"), (["TRUE"], "true", "TRUE"), (["True"], 1, None),
        (["1"], True, None),
        (["true", "True"], "True", "True"), (["true", "True"], "TRUE", None),
        (["café"], "cafe\u0301", "café"), (["cafe\u0301"], "café", "cafe\u0301"), (["a"], " a ", "a"),
        ([" a"], "a", " a"),
        (["Male"], "male", None), (["a"], "", None), (["12345678901234567890"], "12345678901234567891", None),
    ],
)  # fmt: skip
def test_a_name_is_found_by_its_spelling_or_else_by_its_value(
    names: list[str], cell: object, found: str | None
) -> None:
    at = KnownNames(names).find(cell)  # type: ignore[arg-type]
    assert (None if at is None else names[at]) == found


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("\u22125", "-5"), ("-5", "\u22125"), ("\xa07.0", "7"), ("1e-99999999999999999999", "0"),
        ("-0.0", "0"), ("1e5", "100000"), ("0.50", ".5"),
    ],
)  # fmt: skip
def test_a_typographic_or_tiny_number_is_the_name_of_its_value(text: str, known: str) -> None:
    assert KnownNames(["a", known]).find(text) == 1
    assert KnownNames(["a", "b"]).find(text) is None


@given(st.text("0123456789eE+-.\u2212\xa0 ", max_size=30))
def test_any_text_is_a_name_and_stays_the_same_one(text: str) -> None:
    assert unify(unify(text)) == unify(text)
    assert KnownNames([unify(text)]).find(text) == 0


@pytest.mark.parametrize(
    ("value", "is_missing"),
    [
        ("NA", True), (" NA ", True), ("", True), ("-999", True), ("-999.0", True), ("\u2212999", True),
        (-999, True), (-999.0, True), ("no value", True), ("no value ", True),
        ("na", False), (-99, False), ("999", False), (True, False), (1, True), (float("nan"), False),
        (None, False), ([-999], False),
    ],
)  # fmt: skip
def test_what_is_missing_is_so_however_it_is_spelled(value: object, is_missing: bool) -> None:
    assert MissingTexts(["NA", "-999", "no value ", "1"]).has(value) == is_missing


@pytest.mark.parametrize(
    "text",
    [
        "1" * 10**6 + "x", "1." + "1" * 10**6 + "x", "1e" + "1" * 10**6 + "x", "." + "1" * 10**6,
        "1'" * 10**6, "\u2212" * 10**6, "a" + "\u0315\u0300" * 500_000, " " * 10**6 + "1",
    ],
    ids=["digits", "decimals", "exponent", "point", "groups", "signs", "marks", "spaces"],
)  # fmt: skip
def test_a_long_cell_is_no_more_work_than_its_length(text: str) -> None:
    # With work that grows quadratically each of these would take minutes.
    NUMBER.fullmatch(text)
    parse_number(text, NumberFormat(thousands="'", unit="%"))
    assert KnownNames(["a", "b"]).find(text) is None
    assert MissingTexts(["-999"]).has(text) is False
    assert len(unify(text)) <= len(text)
