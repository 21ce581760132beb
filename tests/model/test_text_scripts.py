"""Texts of every script can be learnt from, and texts that share no tokens are warned of."""

import logging
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.sparse import lil_array
from sklearn.linear_model import LogisticRegression
from tailfuse.modalities import KINDS
from tailfuse.modalities.text import TextSpec
from tailfuse_service.modalities import TextModality

SPEC = TextSpec(kind="text", columns=("review",), encoder="bag")
# Nine neutral words and one that tells the class, joined as the script joins them.
SCRIPTS = {
    "English": (" ", "the phone case battery screen came today from shop", "great lovely", "awful useless"),
    "Russian": (" ", "телефон чехол батарея экран сегодня магазин", "отличный люблю", "ужасный сломан"),
    "Hindi": (" ", "फोन केस बैटरी स्क्रीन आज आया दुकान डिब्बा नीला कीमत", "बढ़िया पसंद", "टूटा खराब"),
    "Arabic": (" ", "هاتف غطاء بطارية شاشة اليوم وصل متجر صندوق أزرق سعر", "رائع ممتاز", "مكسور سيئ"),
    "Korean": (" ", "전화 케이스 배터리 화면 오늘 가게 상자 파란 가격", "최고예요 좋아요", "별로예요 나빠요"),
    "Chinese": ("", "手机 外壳 电池 屏幕 今天 送到 商店 盒子 蓝色", "很好 喜欢 完美", "坏了 糟糕 没用"),
    "Japanese": ("", "電話 ケース バッテリー 画面 今日 届いた 店 箱 青い", "最高 すてき", "壊れた ひどい"),
    "Thai": ("", "โทรศัพท์ เคส แบตเตอรี่ หน้าจอ วันนี้ มาถึง ร้าน กล่อง สีฟ้า", "ดีมาก ชอบ", "พัง แย่"),
    "Khmer": ("", "ទូរស័ព្ទ ស្រោម ថ្ម អេក្រង់ ថ្ងៃនេះ ហាង ប្រអប់ ខៀវ", "ល្អណាស់ ចូលចិត្ត", "ខូច អន់"),
    "Burmese": ("", "ဖုန်း အိတ် ဘက်ထရီ ဒီနေ့ ဆိုင် သေတ္တာ အပြာ", "ကောင်းတယ် ကြိုက်တယ်", "ပျက်နေတယ် ဆိုးတယ်"),
    "emoji": (" ", "the phone case battery screen came today", "😀 👍🏽 ❤️", "😡 👎🏽 💔"),
    "punctuation": (" ", "the phone case battery screen came today", ":-) !!!", ":-( ???"),
}  # fmt: skip


def make_reviews(script: str, count: int) -> tuple[list[str], list[int]]:
    """Return reviews and their classes."""
    separator, neutral, good, bad = SCRIPTS[script]
    chance = random.Random(5)
    reviews = []
    for at in range(count):
        words = [chance.choice(neutral.split()) for _ in range(9)]
        words.insert(chance.randrange(9), chance.choice((good if at % 2 else bad).split()))
        reviews.append(separator.join(words))
    return reviews, [at % 2 for at in range(count)]


def count_tokens(texts: list[str], modality: TextModality) -> lil_array:
    """Return how often each text has each bucket."""
    features = modality.features("review")
    counts = lil_array((len(texts), modality.buckets + 1))
    for row, text in enumerate(texts):
        array = features.apply(text)
        assert array is not None
        for token in array:
            counts[row, token] += 1
    return counts


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_word_that_tells_the_class_is_found(script: str) -> None:
    reviews, classes = make_reviews(script, 300)
    table = pl.DataFrame({"review": reviews})
    modality = KINDS["text"].fit("review", SPEC, table, np.arange(200), Path())
    counts = count_tokens(reviews, modality).tocsr()
    model = LogisticRegression(C=10).fit(counts[:200], classes[:200])
    assert model.score(counts[200:], classes[200:]) >= 0.97


def fit(texts: Sequence[str | None], caplog: pytest.LogCaptureFixture) -> list[str]:
    """Fit a column of texts, whose first row is not of the training rows; return the warnings."""
    table = pl.DataFrame({"review": ["first", *texts]})
    with caplog.at_level(logging.WARNING, "tailfuse"):
        KINDS["text"].fit("m", SPEC, table, np.arange(1, len(table)), Path())
    return [record.getMessage() for record in caplog.records]


def test_texts_that_share_no_token_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    assert fit([None, *(f"user{at:03d}" for at in range(100))], caplog) == [
        "modality 'm', column 'review': 100 % of the tokens are in one row only (row 3: 'user000'); "
        "ids or codes teach nothing"
    ]


@pytest.mark.parametrize("script", SCRIPTS)
def test_texts_of_a_language_are_not_warned_of(script: str, caplog: pytest.LogCaptureFixture) -> None:
    assert fit([*make_reviews(script, 100)[0]], caplog) == []


def test_a_few_texts_are_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    assert fit([f"user{at}" for at in range(29)], caplog) == []
    assert fit([*["…\n" * 3] * 15, *[None, " ", "\u200b"] * 15], caplog) == []
