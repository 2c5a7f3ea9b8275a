"""Fits the tokenizer inside the program (`klt`) to photographs and writes Sources/CVTokKLT/klt.safetensors.

usage: python3 fit-klt.py PICTURES.txt OUT.safetensors       (needs numpy and Pillow)

PICTURES.txt names one picture a line, relative to itself; what follows a space or tab is passed over. The committed file
was fitted to the 500 training photographs of alexeygrigorev/clothing-dataset-small (CC0). The same pictures give the same
file up to the rounding of numpy's linear algebra.

From every picture: itself and three parts of it, each stretched to a square. Then, all in closed form:
1. `colours` [3, 3]: eigenvectors of the covariance of red, green and blue.
2. `down`, `across` [kept, side]: the first eigenvectors of the covariance of columns and of rows.
3. A coefficient for each colour, row vector and column vector; the `count` with the largest variance are components,
   largest first: `place` [count, 3] (colour, down, across), `mean` and `deviation` [count].
4. One binary tree for all components, of coefficients less their mean over their deviation. A cell splits at its mean.
   `cell` [2^(depth + 1) - 1]: the means, level by level; `gain` [2^depth - 1]: how much a split lessens the squared error,
   on average over the cell.
"""
import json
import os
import struct

import needs

needs.packages("numpy", "PIL")
import numpy as np
from PIL import Image

side, kept, count, depth, parts, seed = 256, 160, 10_000, 8, 4, 0


def squares(listing):
    rng = np.random.default_rng(seed)
    folder = os.path.dirname(os.path.abspath(listing))
    for line in open(listing):
        if not line.strip():
            continue
        image = Image.open(os.path.join(folder, line.split()[0])).convert("RGB")
        for part in range(parts):
            width, height = image.size
            box = (0, 0, width, height)
            if part:
                scale = rng.uniform(0.5, 1)
                width, height = (int(n * scale * rng.uniform(0.75, 1)) for n in image.size)
                x, y = (rng.integers(0, whole - n + 1) for whole, n in zip(image.size, (width, height)))
                box = (x, y, x + width, y + height)
            pixels = np.asarray(image.crop(box).resize((side, side), Image.Resampling.BICUBIC))
            yield pixels[:, ::-1] if rng.random() < 0.5 else pixels


def eigenvectors(covariance):
    """As rows, the largest eigenvalue first, the entry of the largest magnitude positive."""
    vectors = np.linalg.eigh(covariance)[1][:, ::-1].T
    signs = np.sign(vectors[np.arange(len(vectors)), np.abs(vectors).argmax(1)])
    return (vectors * signs[:, None]).astype(np.float32)


def batches(pictures, size=100):
    for start in range(0, len(pictures), size):
        yield pictures[start : start + size].astype(np.float32) / 255


def fit(pictures):
    mean = sum(batch.sum(0, dtype=np.float64) for batch in batches(pictures)) / len(pictures)
    mean = mean.astype(np.float32)
    plain = mean.mean((0, 1))
    colour = sum(np.einsum("nhwa,nhwb->ab", b - plain, b - plain, dtype=np.float64) for b in batches(pictures))
    colours = eigenvectors(colour)
    rows, columns = np.zeros((side, side)), np.zeros((side, side))
    for batch in batches(pictures):
        x = (batch - mean) @ colours.T
        rows += np.tensordot(x, x, ((0, 2, 3), (0, 2, 3)))
        columns += np.tensordot(x, x, ((0, 1, 3), (0, 1, 3)))
    # The program multiplies by what it has: half precision.
    down = eigenvectors(rows)[:kept].astype(np.float16)
    across = eigenvectors(columns)[:kept].astype(np.float16)
    coefficients = []
    for batch in batches(pictures):
        x = batch @ colours.T
        x = np.tensordot(x, across.astype(np.float32), ((2,), (1,)))  # [n, row, colour, across]
        x = np.tensordot(x, down.astype(np.float32), ((1,), (1,)))  # [n, colour, across, down]
        coefficients.append(x.transpose(0, 1, 3, 2).reshape(len(x), -1))
    coefficients = np.concatenate(coefficients)
    order = np.argsort(-coefficients.var(0, dtype=np.float64), kind="stable")[:count]
    coefficients = coefficients[:, order].astype(np.float64)
    place = np.stack([order // kept**2, order // kept % kept, order % kept], 1).astype(np.int32)
    means, deviations = coefficients.mean(0), coefficients.std(0)
    cell, gain = tree(((coefficients - means) / deviations).ravel())
    return {
        "colours": colours, "down": down, "across": across, "place": place,
        "mean": means.astype(np.float32), "deviation": deviations.astype(np.float32), "cell": cell, "gain": gain,
    }


def tree(values):
    nodes = 2 ** (depth + 1)
    cell, numbers, squares = np.zeros(nodes), np.zeros(nodes), np.zeros(nodes)
    at = np.ones(len(values), dtype=np.int64)  # the root is node 1, below node i lie 2 i and 2 i + 1
    for level in range(depth + 1):
        here = slice(2**level, 2 ** (level + 1))
        numbers[here] = np.bincount(at, minlength=nodes)[here]
        cell[here] = np.bincount(at, weights=values, minlength=nodes)[here] / numbers[here]
        squares[here] = np.bincount(at, weights=(values - cell[at]) ** 2, minlength=nodes)[here]
        at = 2 * at + (values > cell[at])
    inner = np.arange(1, nodes // 2)
    gain = (squares[inner] - squares[2 * inner] - squares[2 * inner + 1]) / numbers[inner]
    return cell[1:].astype(np.float32), gain.astype(np.float32)


def write(path, tensors, metadata):
    types = {"float32": "F32", "float16": "F16", "int32": "I32"}
    header, at = {"__metadata__": metadata}, 0
    for name, value in tensors.items():
        header[name] = {
            "dtype": types[str(value.dtype)], "shape": list(value.shape), "data_offsets": [at, at + value.nbytes]
        }
        at += value.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(v.tobytes() for v in tensors.values()))


if __name__ == "__main__":
    listing, out = needs.values("PICTURES.txt OUT.safetensors", 2)[:2]
    pictures = np.stack(list(squares(listing)))
    tensors = fit(pictures)
    about = {"schema": "vtok-klt/1", "pictures": str(len(pictures)), "licence": "fitted to CC0 photographs"}
    write(out, tensors, about)
    print(f"{len(pictures)} pictures, {os.path.getsize(out)} bytes")
