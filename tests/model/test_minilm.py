"""all-MiniLM-L6-v2 with its genuine weights, where a package that has them is installed."""

import numpy as np
import pytest
import torch
from tailfuse.modalities.text.bert import load_bert
from tailfuse.modalities.text.bert_files import TOKENIZER, find_folder, has_minilm
from tailfuse_service.modalities.text.bert_rows import BertRows, pack_tokenizer

SENTENCES = ("The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium.")
# Cosines in the quick start of sentence-transformers (sbert.net), the library that the model was made with.
COSINES = [[1.0, 0.6660, 0.1046], [0.6660, 1.0, 0.1411], [0.1046, 0.1411, 1.0]]


@pytest.mark.skipif(not has_minilm(), reason="no installed package has all-MiniLM-L6-v2")
def test_sentences_are_as_similar_as_its_authors_say() -> None:
    folder = find_folder("minilm")
    rows = BertRows(pack_tokenizer((folder / TOKENIZER).read_bytes()), max_tokens=128)
    found = [row for text in SENTENCES if (row := rows.apply(text)) is not None]
    embeddings = load_bert(folder, 128)(torch.from_numpy(rows.stack(found))).numpy()
    np.testing.assert_allclose(embeddings @ embeddings.T, COSINES, atol=1e-3)
