"""GGUF files of random blocks in the shape of published models, written with Python alone: they answer nonsense at the cost of real ones."""
import os
import random
import struct

ALIGNMENT = 32
# Number of the type in a file, elements and bytes of a block, where its halves lie: scales, and minima if there are.
TYPES = {"F32": (0, 1, 4, ()), "F16": (1, 1, 2, (0,)), "Q4_0": (2, 32, 18, (0,)), "Q8_0": (8, 32, 34, (0,)),
         "Q4_K": (12, 256, 144, (0, 2)), "Q6_K": (14, 256, 210, (208,))}
# Standard deviation of a weight for a scale of 1: codes are even random numbers.
SPREAD = {"Q4_0": 4.6, "Q8_0": 74, "Q4_K": 150, "Q6_K": 1400}
VOCABULARY, IMAGE = 32064, "<image>"
SHAPES = {  # layers, width, heads, ffn
    "7b": (32, 4096, 32, 11008),
    "1b": (22, 2048, 32, 5632),
    "tiny": (2, 256, 4, 512),
}
TOWERS = {  # blocks, width, heads, ffn
    "clip-l": (23, 1024, 16, 4096),
    "small": (1, 64, 2, 128),
}
PATCH, SIDE = 14, 336


def blocks(kind, deviation, pool=1 << 21):
    """Random blocks of a type, some two million bytes of them, whose values have this standard deviation."""
    _, _, size, halves = TYPES[kind]
    count = pool // size
    data = bytearray(random.Random(kind).randbytes(count * size))
    scale = deviation / SPREAD[kind] if kind in SPREAD else deviation
    for place, half in enumerate(halves):
        value = struct.pack("<e", scale * (1 if place == 0 else 7.5))  # a minimum in the middle of the codes
        data[half::size] = value[:1] * count
        data[half + 1::size] = value[1:] * count
    return bytes(data)


class Writer:
    """Metadata and tensors in their order; tensors are written last, one at a time."""

    def __init__(self, path):
        self.path, self.entries, self.tensors, self.pools = path, [], [], {}

    def add(self, key, value, kind=None):
        number, data = self.value(value, kind)
        self.entries.append(self.text(key) + struct.pack("<I", number) + data)

    @staticmethod
    def text(value):
        data = value.encode()
        return struct.pack("<Q", len(data)) + data

    def value(self, value, kind):
        if isinstance(value, list):
            inner = self.value(value[0], kind)[0]
            return 9, struct.pack("<IQ", inner, len(value)) + b"".join(self.value(v, kind)[1] for v in value)
        if isinstance(value, bool):
            return 7, struct.pack("<?", value)
        if isinstance(value, float):
            return 6, struct.pack("<f", value)
        if isinstance(value, int):
            return (5, struct.pack("<i", value)) if kind == "i32" else (4, struct.pack("<I", value))
        return 8, self.text(value)

    def tensor(self, name, shape, kind, deviation=0.02):
        """`shape` row-major; F32 tensors of one axis are ones (norms) or zeros (biases)."""
        self.tensors.append((name, shape, kind, deviation))

    def bytes(self, shape, kind):
        _, elements, size, _ = TYPES[kind]
        count = 1
        for axis in shape:
            count *= axis
        return count // elements * size

    def write(self):
        infos, offset = [], 0
        for name, shape, kind, _ in self.tensors:
            infos.append(self.text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *reversed(shape), TYPES[kind][0], offset))
            offset += -(-self.bytes(shape, kind) // ALIGNMENT) * ALIGNMENT
        with open(self.path + ".part", "wb") as out:
            out.write(b"GGUF" + struct.pack("<IQQ", 3, len(self.tensors), len(self.entries)))
            out.write(b"".join(self.entries) + b"".join(infos))
            out.write(bytes(-out.tell() % ALIGNMENT))
            for name, shape, kind, deviation in self.tensors:
                self.data(out, name, self.bytes(shape, kind), kind, deviation)
                out.write(bytes(-out.tell() % ALIGNMENT))
        os.replace(self.path + ".part", self.path)

    def data(self, out, name, count, kind, deviation):
        if kind == "F32":
            return out.write(struct.pack("<f", 0 if name.endswith("bias") else 1) * (count // 4))
        if (kind, deviation) not in self.pools:
            self.pools[kind, deviation] = self.halves(deviation) if kind == "F16" else blocks(kind, deviation)
        pool = self.pools[kind, deviation]
        while count > 0:
            count -= out.write(pool[:min(count, len(pool))])

    @staticmethod
    def halves(deviation):
        draw = random.Random(0)
        return struct.pack("<65536e", *(draw.gauss(0, deviation) for _ in range(1 << 16)))


def language(path, size, kind):
    """A text model of architecture llama. Its head is Q6_K, as llama.cpp makes it, but Q8_0 beside that."""
    layers, width, heads, ffn = SHAPES[size]
    file = Writer(path)
    file.add("general.architecture", "llama")
    file.add("general.name", f"random {size} {kind}")
    for key, value in (("block_count", layers), ("context_length", 4096), ("embedding_length", width),
                       ("feed_forward_length", ffn), ("attention.head_count", heads), ("attention.head_count_kv", heads),
                       ("rope.dimension_count", width // heads), ("vocab_size", VOCABULARY)):
        file.add("llama." + key, value)
    file.add("llama.attention.layer_norm_rms_epsilon", 1e-5)
    file.add("llama.rope.freq_base", 10000.0)
    tokens, kinds = ["<unk>", "<s>", "</s>"], [2, 3, 3]
    tokens += [f"<0x{i:02X}>" for i in range(256)]
    kinds += [6] * 256
    letters = [chr(c) for c in range(33, 127)]
    tokens += ["\u2581"] + letters + ["\u2581" + c for c in letters]
    kinds += [1] * (len(tokens) - len(kinds))
    tokens += [f"[{i}]" for i in range(len(tokens), VOCABULARY)]
    kinds += [5] * (VOCABULARY - len(kinds))
    tokens[32000], kinds[32000] = IMAGE, 3
    file.add("tokenizer.ggml.model", "llama")
    file.add("tokenizer.ggml.pre", "default")
    file.add("tokenizer.ggml.tokens", tokens)
    file.add("tokenizer.ggml.scores", [-float(i) for i in range(VOCABULARY)])
    file.add("tokenizer.ggml.token_type", kinds, "i32")
    file.add("tokenizer.ggml.bos_token_id", 1)
    file.add("tokenizer.ggml.eos_token_id", 2)
    deviation = 0.6 / width ** 0.5
    file.tensor("token_embd.weight", (VOCABULARY, width), kind)
    file.tensor("output_norm.weight", (width,), "F32")
    file.tensor("output.weight", (VOCABULARY, width), "Q8_0" if kind == "Q8_0" else "Q6_K", deviation)
    for layer in range(layers):
        name = f"blk.{layer}."
        for norm in ("attn_norm", "ffn_norm"):
            file.tensor(f"{name}{norm}.weight", (width,), "F32")
        for matrix in ("attn_q", "attn_k", "attn_v", "attn_output"):
            file.tensor(f"{name}{matrix}.weight", (width, width), kind, deviation)
        for matrix in ("ffn_gate", "ffn_up"):
            file.tensor(f"{name}{matrix}.weight", (ffn, width), kind, deviation)
        file.tensor(f"{name}ffn_down.weight", (width, ffn), kind, deviation)
    file.write()


def projector(path, size, tower, tiled=False):
    """Tower and projector of LLaVA-1.5, or of LLaVA-NeXT."""
    width, (blocks_, inner, heads, ffn) = SHAPES[size][1], TOWERS[tower]
    file = Writer(path)
    file.add("general.architecture", "clip")
    file.add("clip.projector_type", "mlp")
    file.add("clip.has_vision_encoder", True)
    file.add("clip.use_gelu", False)
    for key, value in (("image_size", SIDE), ("patch_size", PATCH), ("embedding_length", inner), ("feed_forward_length", ffn),
                       ("block_count", blocks_), ("projection_dim", width), ("attention.head_count", heads)):
        file.add("clip.vision." + key, value)
    file.add("clip.vision.attention.layer_norm_epsilon", 1e-5)
    file.add("clip.vision.image_mean", [0.48145466, 0.4578275, 0.40821073])
    file.add("clip.vision.image_std", [0.26862954, 0.26130258, 0.27577711])
    if tiled:
        grids = [(1, 2), (2, 1), (2, 2), (3, 1), (1, 3)]
        file.add("clip.vision.image_grid_pinpoints", [SIDE * side for grid in grids for side in grid], "i32")
        file.add("clip.vision.mm_patch_merge_type", "spatial_unpad")
        file.add("clip.vision.image_aspect_ratio", "anyres")
        file.tensor("model.image_newline", (width,), "F32")
    file.tensor("v.class_embd", (inner,), "F32")
    file.tensor("v.patch_embd.weight", (inner, 3, PATCH, PATCH), "F16")
    file.tensor("v.position_embd.weight", ((SIDE // PATCH) ** 2 + 1, inner), "F16")

    def both(name, *shape):
        file.tensor(name + ".weight", shape, "F16" if len(shape) > 1 else "F32", 0.5 / shape[-1] ** 0.5)
        file.tensor(name + ".bias", shape[:1], "F32")
    both("v.pre_ln", inner)
    for block in range(blocks_):
        name = f"v.blk.{block}."
        for part, *shape in (("ln1", inner), ("ln2", inner), ("attn_q", inner, inner), ("attn_k", inner, inner),
                             ("attn_v", inner, inner), ("attn_out", inner, inner), ("ffn_up", ffn, inner), ("ffn_down", inner, ffn)):
            both(name + part, *shape)
    both("mm.0", width, inner)
    both("mm.2", width, width)
    file.write()
