"""Folders of models with random weights in published shapes, written with Python alone: they answer nonsense at the cost of real ones.

usage: random_models.py FAMILY SIZE FOLDER    (python3 Benchmarks/random_models.py qwen3-vl small /tmp/model)
"""
import json
import math
import os
import random
import struct
import sys

VOCABULARY = 151936
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>",
           "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>",
           "<|video_pad|>"]
INTERNVL = SPECIAL + ["<img>", "</img>", "<IMG_CONTEXT>"]
FIRST_SPECIAL = 151643
# width, layers, heads, kv heads, ffn, channels of a head; of the tower width, blocks, heads, ffn; blocks that DeepStack taps
QWEN3_VL = {
    "2b": ((2048, 28, 16, 8, 6144, 128), (1024, 24, 16, 4096), (5, 11, 17)),
    "small": ((512, 8, 8, 4, 1536, 64), (256, 6, 4, 1024), (1, 2, 3)),
    "tiny": ((128, 4, 4, 2, 256, 32), (64, 3, 2, 128), (0, 1)),
}
INTERNVL35 = {
    "1b": ((1024, 28, 16, 8, 3072, 128), (1024, 24, 16, 4096)),
    "small": ((512, 8, 8, 4, 1536, 64), (256, 6, 4, 1024)),
    "tiny": ((128, 4, 4, 2, 256, 32), (64, 3, 2, 128)),
}


class Weights:
    """Tensors in bfloat16, written one at a time: numbers of a normal distribution that repeat after some two million."""
    POOL = 1 << 21

    def __init__(self, seed=0):
        generator = random.Random(seed)
        numbers = [generator.gauss(0, 1) for _ in range(1 << 14)]
        self.base = numbers
        self.tensors = []

    def tensor(self, name, *shape, deviation=None):
        """`deviation` None: that which keeps the scale of rows; one axis: ones."""
        self.tensors.append((name, shape, deviation))

    def linear(self, name, rows, columns, bias=False):
        self.tensor(name + ".weight", rows, columns)
        if bias:
            self.tensor(name + ".bias", rows, deviation=0.02)

    def norm(self, name, width, bias=False):
        self.tensor(name + ".weight", width)
        if bias:
            self.tensor(name + ".bias", width, deviation=0.02)

    def pool(self, deviation):
        block = b"".join(struct.pack("<f", number * deviation)[2:] for number in self.base)
        return block * (2 * self.POOL // len(block) + 1)

    def write(self, path):
        header, offset = {"__metadata__": {"format": "pt"}}, 0
        for name, shape, _ in self.tensors:
            size = 2 * math.prod(shape)
            header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [offset, offset + size]}
            offset += size
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        pools, turn = {}, 0
        with open(path + ".part", "wb") as out:
            out.write(struct.pack("<Q", len(text)) + text)
            for _, shape, deviation in self.tensors:
                size = 2 * math.prod(shape)
                if deviation is None and len(shape) == 1:
                    out.write(struct.pack("<H", 0x3F80) * shape[0])
                    continue
                deviation = deviation or 1 / math.sqrt(math.prod(shape[1:]))
                pool = pools.setdefault(deviation, self.pool(deviation))
                turn = (turn + 2 * 7919) % (1 << 15)  # no two tensors begin alike
                while size > 0:
                    part = min(size, len(pool) - turn)
                    out.write(memoryview(pool)[turn:turn + part])
                    size -= part
        os.replace(path + ".part", path)


def tokenizer(folder, special):
    """Byte-level pairs and triples, as many as the vocabulary takes, and the special tokens in their published places."""
    plain = [byte for byte in range(256) if 33 <= byte <= 126 or 161 <= byte <= 172 or byte >= 174]
    alphabet = [chr(byte) for byte in plain] + [chr(256 + index) for index in range(256 - len(plain))]
    pairs = [(a, b) for a in alphabet for b in alphabet]
    merges = pairs + [(a + b, c) for a, b in pairs for c in alphabet[:2]]
    merges = merges[:FIRST_SPECIAL - 256]
    vocabulary = {token: index for index, token in enumerate(alphabet + [a + b for a, b in merges])}
    added = [{"id": FIRST_SPECIAL + index, "content": token, "special": True, "normalized": False, "single_word": False,
              "lstrip": False, "rstrip": False} for index, token in enumerate(special)]
    split = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
    write(folder, "tokenizer.json", {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": split}, "behavior": "Isolated", "invert": False},
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}]},
        "post_processor": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False},
        "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "", "end_of_word_suffix": "",
                  "fuse_unk": False, "byte_fallback": False, "ignore_merges": False, "vocab": vocabulary,
                  "merges": [[a, b] for a, b in merges]}})
    write(folder, "tokenizer_config.json", {"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"})
    write(folder, "generation_config.json", {"eos_token_id": [151645, 151643]})


def write(folder, name, value):
    with open(os.path.join(folder, name), "w") as out:
        json.dump(value, out)


def decoder(weights, prefix, width, layers, heads, kv_heads, ffn, head_dim):
    """Qwen3's layers."""
    weights.tensor(prefix + ".embed_tokens.weight", VOCABULARY, width, deviation=0.02)
    for index in range(layers):
        layer = f"{prefix}.layers.{index}"
        weights.norm(layer + ".input_layernorm", width)
        weights.linear(layer + ".self_attn.q_proj", heads * head_dim, width)
        weights.linear(layer + ".self_attn.k_proj", kv_heads * head_dim, width)
        weights.linear(layer + ".self_attn.v_proj", kv_heads * head_dim, width)
        weights.linear(layer + ".self_attn.o_proj", width, heads * head_dim)
        weights.norm(layer + ".self_attn.q_norm", head_dim)
        weights.norm(layer + ".self_attn.k_norm", head_dim)
        weights.norm(layer + ".post_attention_layernorm", width)
        weights.linear(layer + ".mlp.gate_proj", ffn, width)
        weights.linear(layer + ".mlp.up_proj", ffn, width)
        weights.linear(layer + ".mlp.down_proj", width, ffn)
    weights.norm(prefix + ".norm", width)


def text_config(kind, width, layers, heads, kv_heads, ffn, head_dim, **more):
    return dict(model_type=kind, hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads, num_key_value_heads=kv_heads,
                intermediate_size=ffn, head_dim=head_dim, vocab_size=VOCABULARY, rms_norm_eps=1e-6, max_position_embeddings=40960,
                hidden_act="silu", attention_bias=False, dtype="bfloat16") | more


def qwen3_vl(folder, size):
    """As `save_pretrained` of transformers 5 names it; head and embeddings are one table."""
    text, (width, blocks, heads, ffn), stacked = QWEN3_VL[size]
    sections = [text[5] // 2 - 2 * (text[5] * 5 // 32), text[5] * 5 // 32, text[5] * 5 // 32]
    os.makedirs(folder, exist_ok=True)
    write(folder, "config.json", {
        "model_type": "qwen3_vl", "image_token_id": 151655, "video_token_id": 151656, "vision_start_token_id": 151652,
        "vision_end_token_id": 151653, "tie_word_embeddings": True, "dtype": "bfloat16",
        "text_config": text_config("qwen3_vl_text", *text, rope_parameters={
            "rope_type": "default", "rope_theta": 5000000, "mrope_section": sections, "mrope_interleaved": True}),
        "vision_config": {
            "model_type": "qwen3_vl_vision", "hidden_size": width, "depth": blocks, "num_heads": heads, "intermediate_size": ffn,
            "out_hidden_size": text[0], "patch_size": 16, "spatial_merge_size": 2, "temporal_patch_size": 2, "in_channels": 3,
            "num_position_embeddings": 2304, "deepstack_visual_indexes": list(stacked), "hidden_act": "gelu_pytorch_tanh"}})
    write(folder, "preprocessor_config.json", {
        "image_processor_type": "Qwen2VLImageProcessorFast", "size": {"shortest_edge": 65536, "longest_edge": 16777216}, "patch_size": 16,
        "merge_size": 2, "temporal_patch_size": 2, "image_mean": [0.5] * 3, "image_std": [0.5] * 3})
    tokenizer(folder, SPECIAL)
    weights = Weights()
    decoder(weights, "model.language_model", *text)
    tower = "model.visual"
    weights.tensor(tower + ".patch_embed.proj.weight", width, 3, 2, 16, 16)
    weights.tensor(tower + ".patch_embed.proj.bias", width, deviation=0.02)
    weights.tensor(tower + ".pos_embed.weight", 2304, width, deviation=0.02)
    for index in range(blocks):
        block = f"{tower}.blocks.{index}"
        weights.norm(block + ".norm1", width, bias=True)
        weights.norm(block + ".norm2", width, bias=True)
        weights.linear(block + ".attn.qkv", 3 * width, width, bias=True)
        weights.linear(block + ".attn.proj", width, width, bias=True)
        weights.linear(block + ".mlp.linear_fc1", ffn, width, bias=True)
        weights.linear(block + ".mlp.linear_fc2", width, ffn, bias=True)
    for merger, normed in [(tower + ".merger", width)] + [
            (f"{tower}.deepstack_merger_list.{index}", 4 * width) for index in range(len(stacked))]:
        weights.norm(merger + ".norm", normed, bias=True)
        weights.linear(merger + ".linear_fc1", 4 * width, 4 * width, bias=True)
        weights.linear(merger + ".linear_fc2", text[0], 4 * width, bias=True)
    weights.write(os.path.join(folder, "model.safetensors"))
    return folder


def internvl35(folder, size):
    """As transformers has it; the head is a table of its own."""
    text, (width, blocks, heads, ffn) = INTERNVL35[size]
    os.makedirs(folder, exist_ok=True)
    write(folder, "config.json", {
        "model_type": "internvl", "image_token_id": 151659, "downsample_ratio": 0.5, "vision_feature_layer": -1,
        "vision_feature_select_strategy": "default", "projector_hidden_act": "gelu", "tie_word_embeddings": False, "dtype": "bfloat16",
        "text_config": text_config("qwen3", *text, rope_parameters={"rope_type": "default", "rope_theta": 1000000}),
        "vision_config": {
            "model_type": "internvl_vision", "hidden_size": width, "num_hidden_layers": blocks, "num_attention_heads": heads,
            "intermediate_size": ffn, "image_size": [448, 448], "patch_size": [14, 14], "attention_bias": True, "use_qk_norm": False,
            "norm_type": "layer_norm", "layer_norm_eps": 1e-6, "hidden_act": "gelu", "use_mean_pooling": True}})
    write(folder, "processor_config.json", {
        "processor_class": "InternVLProcessor", "image_seq_length": 256, "image_processor": {
            "image_processor_type": "GotOcr2ImageProcessorFast", "crop_to_patches": False, "min_patches": 1, "max_patches": 12,
            "size": {"height": 448, "width": 448}, "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}})
    tokenizer(folder, INTERNVL)
    weights = Weights()
    decoder(weights, "model.language_model", *text)
    weights.tensor("lm_head.weight", VOCABULARY, text[0], deviation=0.02)
    tower = "model.vision_tower"
    weights.tensor(tower + ".embeddings.cls_token", 1, 1, width, deviation=0.02)
    weights.tensor(tower + ".embeddings.position_embeddings", 1, 1025, width, deviation=0.02)
    weights.tensor(tower + ".embeddings.patch_embeddings.projection.weight", width, 3, 14, 14)
    weights.tensor(tower + ".embeddings.patch_embeddings.projection.bias", width, deviation=0.02)
    for index in range(blocks):
        block = f"{tower}.encoder.layer.{index}"
        weights.norm(block + ".layernorm_before", width, bias=True)
        weights.norm(block + ".layernorm_after", width, bias=True)
        for name in ("q_proj", "k_proj", "v_proj", "projection_layer"):
            weights.linear(f"{block}.attention.{name}", width, width, bias=True)
        weights.linear(block + ".mlp.fc1", ffn, width, bias=True)
        weights.linear(block + ".mlp.fc2", width, ffn, bias=True)
        weights.tensor(block + ".lambda_1", width)
        weights.tensor(block + ".lambda_2", width)
    weights.norm("model.multi_modal_projector.layer_norm", 4 * width, bias=True)
    weights.linear("model.multi_modal_projector.linear_1", text[0], 4 * width, bias=True)
    weights.linear("model.multi_modal_projector.linear_2", text[0], text[0], bias=True)
    weights.write(os.path.join(folder, "model.safetensors"))
    return folder


FAMILIES = {"qwen3-vl": (qwen3_vl, QWEN3_VL), "internvl3.5": (internvl35, INTERNVL35)}

if __name__ == "__main__":
    family, size = (sys.argv[1:3] + ["", ""])[:2]
    if len(sys.argv) != 4 or size not in FAMILIES.get(family, (None, ()))[1]:
        known = "; ".join(f"{name} {', '.join(sizes)}" for name, (_, sizes) in FAMILIES.items())
        sys.stderr.write(f"random_models.py: needs a family, a size and a folder: {known}\n")
        sys.exit(2)
    FAMILIES[family][0](sys.argv[3], size)
