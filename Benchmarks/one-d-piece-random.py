"""A One-D-Piece checkpoint of the published size with random weights, to see what loading and running it cost.

usage: python3 one-d-piece-random.py OUT-DIR [s|b|l]       (needs numpy)

Writes OUT-DIR/pytorch_model.bin as `torch.save` does: a zip archive of stored files with a pickle of tensor records, every
storage aligned to 64 bytes. Nothing of PyTorch is needed: its classes are stand-ins that pickle by name.
"""
import collections
import io
import os
import pickle
import sys
import types
import zipfile

import needs

needs.packages("numpy")
import numpy as np

SIZES = {"s": (512, 8), "b": (768, 12), "l": (1024, 24)}  # width, layers; heads are width / 64
CELLS, LATENTS, CODES, CODE_WIDTH = 256, 256, 4096, 12


def shapes(width, layers):
    found = {"latent_tokens": (LATENTS, width)}

    def norm(name, size=width):
        found[name + ".weight"] = found[name + ".bias"] = (size,)

    def linear(name, outputs, inputs, *kernel):
        found[name + ".weight"] = (outputs, inputs, *kernel)
        found[name + ".bias"] = (outputs,)

    for side in ("encoder", "decoder"):
        found[f"{side}.class_embedding"] = (1, width)
        found[f"{side}.positional_embedding"] = (CELLS + 1, width)
        found[f"{side}.latent_token_positional_embedding"] = (LATENTS, width)
        norm(f"{side}.ln_pre")
        norm(f"{side}.ln_post")
        for layer in range(layers):
            block = f"{side}.transformer.{layer}"
            norm(f"{block}.ln_1")
            norm(f"{block}.ln_2")
            found[f"{block}.attn.in_proj_weight"] = (3 * width, width)
            found[f"{block}.attn.in_proj_bias"] = (3 * width,)
            linear(f"{block}.attn.out_proj", width, width)
            linear(f"{block}.mlp.c_fc", 4 * width, width)
            linear(f"{block}.mlp.c_proj", width, 4 * width)
    linear("encoder.patch_embed", width, 3, 16, 16)
    linear("encoder.conv_out", CODE_WIDTH, width, 1, 1)
    found["quantize.embedding.weight"] = (CODES, CODE_WIDTH)
    linear("decoder.decoder_embed", width, CODE_WIDTH)
    found["decoder.mask_token"] = (1, 1, width)
    linear("decoder.ffn.0", 2 * width, width, 1, 1)
    linear("decoder.ffn.2", 1024, 2 * width, 1, 1)
    found["pixel_quantize.embedding.weight"] = (1024, 256)

    def block(name, inputs, outputs):
        norm(f"{name}.norm1", inputs)
        norm(f"{name}.norm2", outputs)
        found[f"{name}.conv1.weight"] = (outputs, inputs, 3, 3)
        found[f"{name}.conv2.weight"] = (outputs, outputs, 3, 3)
        if inputs != outputs:
            found[f"{name}.nin_shortcut.weight"] = (outputs, outputs, 1, 1)

    linear("pixel_decoder.conv_in", 512, 256, 3, 3)
    channels = 512
    for index in (0, 1):
        block(f"pixel_decoder.mid.{index}", channels, channels)
    for level, outputs in ((4, 512), (3, 256), (2, 256), (1, 128), (0, 128)):
        for index in (0, 1):
            block(f"pixel_decoder.up.{level}.block.{index}", channels, outputs)
            channels = outputs
        if level:
            linear(f"pixel_decoder.up.{level}.upsample_conv", channels, channels, 3, 3)
    norm("pixel_decoder.norm_out", channels)
    linear("pixel_decoder.conv_out", 3, channels, 3, 3)
    return found


def stand_in(module, name):
    """Something that pickles as the global `module.name`."""
    for part in (module.split(".")[0], module):
        sys.modules.setdefault(part, types.ModuleType(part))
    value = type(name, (), {"__module__": module})
    setattr(sys.modules[module], name, value)
    return value


def save(path, tensors):
    rebuild, storage_type = stand_in("torch._utils", "_rebuild_tensor_v2"), stand_in("torch", "FloatStorage")

    class Record:
        def __init__(self, key, shape):
            self.key, self.shape = key, shape

        def __reduce__(self):
            strides = [int(np.prod(self.shape[axis + 1 :])) for axis in range(len(self.shape))]
            storage = Storage(self.key, int(np.prod(self.shape)))
            return rebuild, (storage, 0, self.shape, tuple(strides), False, collections.OrderedDict())

    class Storage:
        def __init__(self, key, count):
            self.id = ("storage", storage_type, key, "cpu", count)

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            return value.id if isinstance(value, Storage) else None

    text = io.BytesIO()
    Pickler(text, protocol=2).dump({name: Record(str(key), shape) for key, (name, (shape, _)) in enumerate(tensors.items())})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:

        def add(name, content):
            entry = zipfile.ZipInfo("archive/" + name)
            start = archive.fp.tell() + 30 + len(entry.filename) + 4
            padding = -start % 64
            entry.extra = b"FB" + padding.to_bytes(2, "little") + b"Z" * padding
            archive.writestr(entry, content)

        add("data.pkl", text.getvalue())
        add("byteorder", b"little")
        for key, (_, values) in enumerate(tensors.values()):
            add(f"data/{key}", values)
        add("version", b"3\n")


def main():
    folder, size = (needs.values("OUT-DIR [s|b|l]", 1) + ["s"])[:2]
    rng = np.random.default_rng(0)
    tensors = {}
    for name, shape in shapes(*SIZES[size]).items():
        # Norms near one, everything else so small that activations stay where trained ones are.
        inputs = int(np.prod(shape[1:])) if len(shape) > 1 else 1
        values = rng.standard_normal(shape, dtype=np.float32) * np.float32(inputs**-0.5 if len(shape) > 1 else 0.02)
        if len(shape) == 1 and name.endswith(".weight"):
            values += 1
        tensors[name] = (shape, values.tobytes())
    os.makedirs(folder, exist_ok=True)
    save(folder + "/pytorch_model.bin", tensors)
    count = sum(int(np.prod(shape)) for shape, _ in tensors.values())
    print(f"{len(tensors)} tensors, {count / 1e6:.1f} M parameters, {os.path.getsize(folder + '/pytorch_model.bin')} bytes")


if __name__ == "__main__":
    main()
