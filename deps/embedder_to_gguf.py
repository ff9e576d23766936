"""Writes a BERT sentence embedder (config, tokenizer and safetensors of the common layout) as GGUF.

libllama reads such a model as architecture "bert". Two things are easy to get wrong, and are what
this file is for. The vocabulary: WordPiece marks the inside of a word ("##ing"), while libllama
marks its beginning with U+2581, so every ordinary token is rewritten. And pooling: this family
averages the token vectors, which must be said in the file or libllama returns one per token.
"""

import json
import struct
from pathlib import Path

import gguf
import numpy as np

WORD_START = "\u2581"
INSIDE_WORD = "##"

# safetensors name -> GGUF name, for what stands once; {n} is the layer in the second table.
MODEL_TENSORS = {
    "embeddings.word_embeddings.weight": "token_embd.weight",
    "embeddings.position_embeddings.weight": "position_embd.weight",
    "embeddings.token_type_embeddings.weight": "token_types.weight",
    "embeddings.LayerNorm.weight": "token_embd_norm.weight",
    "embeddings.LayerNorm.bias": "token_embd_norm.bias",
}
LAYER_TENSORS = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """All tensors of the file as float32. Other element types are not expected and refused."""
    data = path.read_bytes()
    (header_len,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + header_len])
    body = 8 + header_len
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__" or name == "embeddings.position_ids":
            continue
        if entry["dtype"] != "F32":
            raise ValueError(f"{name}: element type {entry['dtype']} is not F32")
        first, last = entry["data_offsets"]
        flat = np.frombuffer(data[body + first : body + last], dtype="<f4")
        tensors[name] = flat.reshape(entry["shape"])
    return tensors


def vocabulary(tokenizer: dict) -> tuple[list[str], list[int], dict[str, int]]:
    """Tokens in id order with word starts marked, their types, and the special tokens' ids."""
    ids = tokenizer["model"]["vocab"]
    special = {added["content"]: added["id"] for added in tokenizer["added_tokens"]}
    tokens, types = [""] * len(ids), [gguf.TokenType.NORMAL] * len(ids)
    for token, number in ids.items():
        if token in special:
            tokens[number] = token
            types[number] = gguf.TokenType.UNKNOWN if token == "[UNK]" else gguf.TokenType.CONTROL
        elif token.startswith(INSIDE_WORD):
            tokens[number] = token[len(INSIDE_WORD) :]
        else:
            tokens[number] = WORD_START + token
    return tokens, types, special


def add_tokenizer(writer: gguf.GGUFWriter, tokenizer: dict) -> None:
    tokens, types, special = vocabulary(tokenizer)
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_type_count(2)
    writer.add_bos_token_id(special["[CLS]"])
    writer.add_eos_token_id(special["[SEP]"])
    writer.add_sep_token_id(special["[SEP]"])
    writer.add_pad_token_id(special["[PAD]"])
    writer.add_unk_token_id(special["[UNK]"])
    writer.add_mask_token_id(special["[MASK]"])
    normalizer = tokenizer["normalizer"]
    lowercase = bool(normalizer["lowercase"])
    strip = normalizer["strip_accents"]
    writer.add_bool("tokenizer.ggml.normalizer.lowercase", lowercase)
    # Absent means "as lowercase says": that is how the original tokenizer was defined.
    strip = lowercase if strip is None else strip
    writer.add_bool("tokenizer.ggml.normalizer.strip_accents", strip)


def add_hyperparameters(writer: gguf.GGUFWriter, config: dict) -> None:
    if config["model_type"] != "bert" or config["hidden_act"] != "gelu":
        raise ValueError(f"not a BERT with GELU: {config['model_type']}, {config['hidden_act']}")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_layer_norm_eps(config["layer_norm_eps"])
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)


def add_tensors(writer: gguf.GGUFWriter, tensors: dict[str, np.ndarray], layers: int,
                matrix_type: gguf.GGMLQuantizationType) -> None:
    """Matrices in matrix_type; vectors and what is added rather than multiplied stay float32."""
    names = dict(MODEL_TENSORS)
    for n in range(layers):
        for source, target in LAYER_TENSORS.items():
            for part in ("weight", "bias"):
                names[f"encoder.layer.{n}.{source}.{part}"] = f"blk.{n}.{target}.{part}"
    for source, target in names.items():
        data = tensors[source]
        multiplied = data.ndim == 2 and target not in ("position_embd.weight", "token_types.weight")
        kind = matrix_type if multiplied else gguf.GGMLQuantizationType.F32
        writer.add_tensor(target, gguf.quants.quantize(data, kind), raw_dtype=kind)


def convert(model_dir: Path, to: Path, name: str, matrix_type: gguf.GGMLQuantizationType) -> int:
    """Converts the model in model_dir and returns its dimension."""
    config = json.loads((model_dir / "config.json").read_text())
    tokenizer = json.loads((model_dir / "tokenizer.json").read_text())
    writer = gguf.GGUFWriter(to, "bert")
    writer.add_name(name)
    add_hyperparameters(writer, config)
    add_tokenizer(writer, tokenizer)
    add_tensors(writer, read_safetensors(model_dir / "model.safetensors"),
                config["num_hidden_layers"], matrix_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return config["hidden_size"]
