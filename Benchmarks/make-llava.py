#!/usr/bin/env python3
"""Writes a checkpoint of LLaVA-1.5's shape with random float16 weights, in the published layout.

    python3 Benchmarks/make-llava.py DIR [--size 7b|small|tiny]    (needs numpy; 7b takes 14 GB of disk)

It answers nonsense, at the cost of the real one: what it is for is time, memory and bytes. The seed is fixed.
"""
import json
import os
import struct

import needs

needs.packages("numpy")
import numpy as np

SIZES = {  # layers, width, heads, ffn; tower blocks, width, heads, ffn; image side
    "7b": ((32, 4096, 32, 11008), (24, 1024, 16, 4096), 336),
    "small": ((4, 256, 8, 688), (4, 128, 4, 512), 336),
    "tiny": ((4, 128, 4, 344), (4, 64, 4, 256), 56),
}
VOCABULARY, IMAGE, PATCH, SHARD = 32064, 32000, 14, 4 << 30


def tensors(size):
    """Names and shapes under the names that llava-hf publishes."""
    (layers, width, _, ffn), (blocks, tower, _, tower_ffn), side = SIZES[size]
    vision = "vision_tower.vision_model."
    yield vision + "embeddings.class_embedding", (tower,)
    yield vision + "embeddings.patch_embedding.weight", (tower, 3, PATCH, PATCH)
    yield vision + "embeddings.position_embedding.weight", ((side // PATCH) ** 2 + 1, tower)
    norms = ["pre_layrnorm", "post_layernorm"]
    for i in range(blocks):
        block = f"encoder.layers.{i}."
        norms += [block + "layer_norm1", block + "layer_norm2"]
        for name in "qkv":
            yield from linear(vision + block + f"self_attn.{name}_proj", tower, tower)
        yield from linear(vision + block + "self_attn.out_proj", tower, tower)
        yield from linear(vision + block + "mlp.fc1", tower_ffn, tower)
        yield from linear(vision + block + "mlp.fc2", tower, tower_ffn)
    for name in norms:
        yield vision + name + ".weight", (tower,)
        yield vision + name + ".bias", (tower,)
    yield from linear("multi_modal_projector.linear_1", width, tower)
    yield from linear("multi_modal_projector.linear_2", width, width)
    text = "language_model.model."
    yield text + "embed_tokens.weight", (VOCABULARY, width)
    for i in range(layers):
        layer = text + f"layers.{i}."
        for name in ("q", "k", "v", "o"):
            yield layer + f"self_attn.{name}_proj.weight", (width, width)
        yield layer + "mlp.gate_proj.weight", (ffn, width)
        yield layer + "mlp.up_proj.weight", (ffn, width)
        yield layer + "mlp.down_proj.weight", (width, ffn)
        yield layer + "input_layernorm.weight", (width,)
        yield layer + "post_attention_layernorm.weight", (width,)
    yield text + "norm.weight", (width,)
    yield "language_model.lm_head.weight", (VOCABULARY, width)


def linear(name, rows, columns):
    yield name + ".weight", (rows, columns)
    yield name + ".bias", (rows,)


def write(directory, size):
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(1 << 24, dtype=np.float32)  # drawn once, reused from another place for every tensor

    def values(name, shape):
        count = int(np.prod(shape))
        if "norm" in name:
            return np.full(count, 0 if name.endswith("bias") else 1, np.float16)
        start = int(rng.integers(0, len(noise)))
        flat = np.take(noise, np.arange(start, start + min(count, len(noise))), mode="wrap")
        scale = 0.5 / np.sqrt(shape[-1]) if len(shape) > 1 else 0.02
        return np.resize((flat * scale).astype(np.float16), count)

    shards, current, room = [], [], 0
    for name, shape in tensors(size):
        bytes_ = 2 * int(np.prod(shape))
        if current and room + bytes_ > SHARD:
            shards.append(current)
            current, room = [], 0
        current.append((name, shape))
        room += bytes_
    shards.append(current)
    where, total = {}, 0
    for index, shard in enumerate(shards):
        file = f"model-{index + 1:05}-of-{len(shards):05}.safetensors"
        header, offset = {}, 0
        for name, shape in shard:
            size_ = 2 * int(np.prod(shape))
            header[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [offset, offset + size_]}
            offset += size_
            where[name] = file
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 64)
        with open(os.path.join(directory, file), "wb") as out:
            out.write(struct.pack("<Q", len(text)) + text)
            for name, shape in shard:
                out.write(values(name, shape).tobytes())
        total += offset
    dump(directory, "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": where})


def tokenizer():
    """Byte-fallback BPE of the published style; words beyond the bytes are numbered, since nothing was learned."""
    vocabulary = {"<unk>": 0, "<s>": 1, "</s>": 2}
    for byte in range(256):
        vocabulary[f"<0x{byte:02X}>"] = len(vocabulary)
    for character in "\u2581abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:?!":
        vocabulary[character] = len(vocabulary)
    while len(vocabulary) < IMAGE:
        vocabulary[f"\u2581w{len(vocabulary)}"] = len(vocabulary)
    special = [(0, "<unk>"), (1, "<s>"), (2, "</s>"), (IMAGE, "<image>"), (IMAGE + 1, "<pad>")]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    template = [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": i, "content": t, **flags} for i, t in special],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "\u2581"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]},
        "pre_tokenizer": None,
        "post_processor": {"type": "TemplateProcessing", "single": template, "pair": template,
                           "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}, {"type": "ByteFallback"},
            {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
        "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True, "vocab": vocabulary, "merges": []},
    }


def dump(directory, name, value):
    with open(os.path.join(directory, name), "w") as out:
        json.dump(value, out, ensure_ascii=False, indent=1)
        out.write("\n")


def main():
    parser = needs.Parser(description=__doc__.split("\n")[0])
    parser.add_argument("directory")
    parser.add_argument("--size", choices=SIZES, default="7b")
    arguments = parser.parse_args()
    os.makedirs(arguments.directory, exist_ok=True)
    (layers, width, heads, ffn), (blocks, tower, tower_heads, tower_ffn), side = SIZES[arguments.size]
    dump(arguments.directory, "config.json", {
        "architectures": ["LlavaForConditionalGeneration"], "model_type": "llava", "image_token_index": IMAGE,
        "projector_hidden_act": "gelu", "vision_feature_layer": -2, "vision_feature_select_strategy": "default",
        "text_config": {"model_type": "llama", "hidden_size": width, "intermediate_size": ffn, "vocab_size": VOCABULARY,
                        "num_hidden_layers": layers, "num_attention_heads": heads, "rms_norm_eps": 1e-05},
        "vision_config": {"model_type": "clip_vision_model", "hidden_size": tower, "intermediate_size": tower_ffn,
                          "num_hidden_layers": blocks, "num_attention_heads": tower_heads, "image_size": side,
                          "patch_size": PATCH, "projection_dim": 768}})
    dump(arguments.directory, "generation_config.json", {"eos_token_id": 2})
    dump(arguments.directory, "preprocessor_config.json", {
        "image_processor_type": "CLIPImageProcessor", "do_resize": True, "size": {"shortest_edge": side}, "resample": 3,
        "do_center_crop": True, "crop_size": {"height": side, "width": side}, "do_rescale": True, "do_normalize": True,
        "rescale_factor": 1 / 255, "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711]})
    dump(arguments.directory, "tokenizer.json", tokenizer())
    write(arguments.directory, arguments.size)


if __name__ == "__main__":
    main()
