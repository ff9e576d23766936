"""What the embedder ought to answer, computed without libllama: WordPiece and BERT in numpy.

models.py writes the result beside the converted model, and the tests of slm/ hold libllama's tokens
and vectors against it. A wrong vocabulary, pooling or tensor order in the conversion shows here.
"""

import json
import math
import unicodedata
from pathlib import Path

import numpy as np

from embedder_to_gguf import INSIDE_WORD, read_safetensors

SENTENCES = [
    "The quick brown fox jumps over the lazy dog.",
    "How do I list the packages that are installed on a Debian system?",
    "Unbelievably, café naïveté costs $3.50 — isn't it?",
    "日本語のテキスト and mixed English",
    "apt-get install --no-install-recommends libopenblas-dev",
    "A memory-mapped store with copy-on-write B+trees: readers never block writers.",
    "x",
]

CJK_RANGES = [(0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0xF900, 0xFAFF)]


def is_punctuation(char: str) -> bool:
    """ASCII symbols count as punctuation for BERT, though Unicode puts some of them elsewhere."""
    ascii_symbol = char.isascii() and char.isprintable() and not char.isalnum() and char != " "
    return ascii_symbol or unicodedata.category(char).startswith("P")


def is_cjk(char: str) -> bool:
    return any(first <= ord(char) <= last for first, last in CJK_RANGES)


def split_words(text: str) -> list[str]:
    """Lowercased, accents off, split at spaces and round every punctuation and CJK character."""
    spaced = "".join(f" {c} " if is_cjk(c) else c for c in text)
    decomposed = unicodedata.normalize("NFD", spaced)
    plain = "".join(c for c in decomposed if unicodedata.category(c) != "Mn")
    return "".join(f" {c} " if is_punctuation(c) else c for c in plain.lower()).split()


def word_pieces(word: str, vocab: dict[str, int]) -> list[int]:
    """Longest match first; a word with no match at some place is unknown as a whole."""
    pieces, start = [], 0
    while start < len(word):
        prefix = INSIDE_WORD if start > 0 else ""
        ends = range(len(word), start, -1)
        end = next((e for e in ends if prefix + word[start:e] in vocab), None)
        if end is None:
            return [vocab["[UNK]"]]
        pieces.append(vocab[prefix + word[start:end]])
        start = end
    return pieces


def tokenize(text: str, vocab: dict[str, int]) -> list[int]:
    inner = [piece for word in split_words(text) for piece in word_pieces(word, vocab)]
    return [vocab["[CLS]"], *inner, vocab["[SEP]"]]


class Bert:
    """Just enough of BERT to embed one text: no batches, no padding, float32 throughout."""

    def __init__(self, config: dict, tensors: dict[str, np.ndarray]):
        self.config = config
        self.tensors = tensors

    def norm(self, x: np.ndarray, name: str) -> np.ndarray:
        spread = np.sqrt(x.var(-1, keepdims=True) + self.config["layer_norm_eps"])
        centred = (x - x.mean(-1, keepdims=True)) / spread
        return centred * self.tensors[f"{name}.weight"] + self.tensors[f"{name}.bias"]

    def linear(self, x: np.ndarray, name: str) -> np.ndarray:
        return x @ self.tensors[f"{name}.weight"].T + self.tensors[f"{name}.bias"]

    def attend(self, x: np.ndarray, layer: str) -> np.ndarray:
        heads = self.config["num_attention_heads"]

        def split(part: str) -> np.ndarray:
            projected = self.linear(x, f"{layer}.attention.self.{part}")
            return projected.reshape(len(x), heads, -1).transpose(1, 0, 2)

        query, key, value = split("query"), split("key"), split("value")
        score = query @ key.transpose(0, 2, 1) / math.sqrt(query.shape[-1])
        weight = np.exp(score - score.max(-1, keepdims=True))
        weight /= weight.sum(-1, keepdims=True)
        return (weight @ value).transpose(1, 0, 2).reshape(len(x), -1)

    def embed(self, tokens: list[int]) -> np.ndarray:
        """The unit vector of the mean over the last layer's token vectors."""
        x = self.tensors["embeddings.word_embeddings.weight"][tokens]
        x = x + self.tensors["embeddings.position_embeddings.weight"][: len(tokens)]
        x = x + self.tensors["embeddings.token_type_embeddings.weight"][0]
        x = self.norm(x, "embeddings.LayerNorm")
        for n in range(self.config["num_hidden_layers"]):
            layer = f"encoder.layer.{n}"
            attended = self.linear(self.attend(x, layer), f"{layer}.attention.output.dense")
            x = self.norm(x + attended, f"{layer}.attention.output.LayerNorm")
            inner = self.linear(x, f"{layer}.intermediate.dense")
            inner = inner * 0.5 * (1 + np.vectorize(math.erf)(inner / math.sqrt(2)))
            outer = self.linear(inner, f"{layer}.output.dense")
            x = self.norm(x + outer, f"{layer}.output.LayerNorm")
        mean = x.mean(0)
        return mean / np.linalg.norm(mean)


def write_reference(model_dir: Path, to: Path) -> None:
    """Three lines a sentence: the text, its token ids, its unit vector."""
    vocab = json.loads((model_dir / "tokenizer.json").read_text())["model"]["vocab"]
    bert = Bert(json.loads((model_dir / "config.json").read_text()),
                read_safetensors(model_dir / "model.safetensors"))
    with to.open("w", encoding="utf-8") as out:
        for text in SENTENCES:
            tokens = tokenize(text, vocab)
            out.write(text + "\n")
            out.write(" ".join(str(token) for token in tokens) + "\n")
            out.write(" ".join(f"{value:.6f}" for value in bert.embed(tokens)) + "\n")
