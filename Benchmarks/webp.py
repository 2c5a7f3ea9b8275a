"""Rows of WebP for `vtok bench --tokenizers ... --also ROWS.json`, on the same squares: libwebp through Pillow, since vtok
itself needs no WebP.

usage: python3 webp.py FOLDER OUT.json [SIDE] [LIMIT]       (needs numpy and Pillow)
"""
import io
import json
import os
import sys
import time

import numpy as np
from PIL import Image, features

ENDINGS = {".png", ".jpg", ".jpeg", ".jpe", ".jfif"}


def square(image, side):
    """Shorter side to `side`, centre crop, as vtok prepares it."""
    width, height = image.size
    long = int(side * max(width, height) / min(width, height))
    size = (side, long) if width <= height else (long, side)
    image = image.resize(size, Image.Resampling.BICUBIC)
    x, y = ((whole - side) // 2 for whole in size)
    return image.crop((x, y, x + side, y + side))


def ssim(a, b):
    """Wang et al. 2004: Gaussian windows of 11x11, deviation 1.5, inside the picture; mean over channels."""
    taps = np.exp(-((np.arange(11) - 5.0) ** 2) / (2 * 1.5**2))
    taps /= taps.sum()

    def smooth(x):
        x = np.apply_along_axis(np.convolve, 0, x, taps, "valid")
        return np.apply_along_axis(np.convolve, 1, x, taps, "valid")

    mean_a, mean_b = smooth(a), smooth(b)
    var_a, var_b = smooth(a * a) - mean_a**2, smooth(b * b) - mean_b**2
    both = smooth(a * b) - mean_a * mean_b
    return np.mean(
        (2 * mean_a * mean_b + 1e-4) * (2 * both + 9e-4) / ((mean_a**2 + mean_b**2 + 1e-4) * (var_a + var_b + 9e-4))
    )


def main():
    folder, out = sys.argv[1:3]
    side = int(sys.argv[3]) if len(sys.argv) > 3 else 256
    limit = int(sys.argv[4]) if len(sys.argv) > 4 else None
    paths = sorted(
        os.path.join(root, name) for root, _, names in os.walk(folder) for name in names
        if os.path.splitext(name)[1].lower() in ENDINGS
    )
    pictures = [np.asarray(square(Image.open(path).convert("RGB"), side)) for path in paths[:limit]]
    rows = []
    for quality in (0, 1, 2, 5, 10, 20, 40, 60, 80, 95):
        found = []
        for pixels in pictures:
            start = time.thread_time()
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, "WEBP", quality=quality, method=6)
            middle = time.thread_time()
            made = np.asarray(Image.open(file).convert("RGB"))
            end = time.thread_time()
            a, b = pixels / 255, made / 255
            found.append((file.tell(), np.mean((a - b) ** 2), ssim(a, b), 1e3 * (middle - start), 1e3 * (end - middle)))
        size, error, similar, encode, decode = np.array(found).T
        rows.append({
            "schema": "vtok-bench-tokenizers/1", "coder": "webp", "tokens": None, "setting": f"q{quality}",
            "bits": 8 * size.mean(), "bytes": size.mean(), "images": len(pictures),
            "psnr": {"of_mean_mse": -10 * np.log10(error.mean()), "mean": np.mean(-10 * np.log10(error))},
            "ssim": similar.mean(), "ms": {"encode": np.median(encode), "decode": np.median(decode)},
            "run": {"libwebp": features.version("webp"), "side": side},
        })
    with open(out, "w") as file:
        json.dump(rows, file, indent=1)


if __name__ == "__main__":
    main()
