"""What WebP makes of the squares of `vtok bench --tokenizers ... --also OUT-DIR`: libwebp through Pillow, since vtok itself
writes no lossy WebP. vtok judges the pictures as it judges its own.

usage: python3 webp.py DATA OUT-DIR [SIDE [LIMIT]]       (needs Pillow)

DATA is a folder, or a list file of lines with a path and a label; pictures are as stored (vtok's --raw-orientation
--alpha drop). Writes OUT-DIR/coders.json and PNG files.
"""
import io
import json
import os
import re
import sys
import time

import needs

needs.packages("PIL")
from PIL import Image, features

ENDINGS = {".png", ".jpg", ".jpeg", ".jpe", ".jfif"}
# Quality by how many times shorter the sides are.
SETTINGS = {1: (0, 2, 5, 10, 20, 40, 60, 80, 95), 2: (0, 10, 30, 60), 4: (0, 10, 30, 60), 8: (0, 20, 60)}


def square(image, side):
    """Shorter side to `side`, centre crop, as vtok prepares it."""
    width, height = image.size
    long = int(side * max(width, height) / min(width, height))
    size = (side, long) if width <= height else (long, side)
    image = image.resize(size, Image.Resampling.BICUBIC)
    x, y = ((whole - side) // 2 for whole in size)
    return image.crop((x, y, x + side, y + side))


def pictures(data):
    """Names as vtok knows them, with paths."""
    if os.path.isfile(data):
        with open(data) as file:
            names = [re.sub(r"(\t.*| \d+)$", "", line.rstrip("\n")) for line in file if line.strip() and line[0] != "#"]
        return [(name, os.path.join(os.path.dirname(data), name)) for name in names]
    paths = [os.path.join(root, name) for root, _, names in os.walk(data) for name in names
             if os.path.splitext(name)[1].lower() in ENDINGS]
    return [(os.path.relpath(path, data), path) for path in sorted(paths)]


def main():
    data, out = needs.values("DATA OUT [SIDE [LIMIT]]", 2)[:2]
    side = int(sys.argv[3]) if len(sys.argv) > 3 else 256
    limit = int(sys.argv[4]) if len(sys.argv) > 4 else None
    found = [(name, square(Image.open(path).convert("RGB"), side)) for name, path in pictures(data)[:limit]]
    coders = []
    for scale, qualities in SETTINGS.items():
        for quality in qualities:
            folder, known = f"q{quality}-{scale}", {}
            for name, picture in found:
                file = io.BytesIO()
                start = time.thread_time()
                small = picture if scale == 1 else picture.resize((side // scale,) * 2, Image.Resampling.BICUBIC)
                small.save(file, "WEBP", quality=quality, method=6)
                middle = time.thread_time()
                made = Image.open(file).convert("RGB")
                made = made if scale == 1 else made.resize((side, side), Image.Resampling.BICUBIC)
                end = time.thread_time()
                known[name] = {"bytes": len(file.getvalue()), "encode_ms": 1e3 * (middle - start),
                               "decode_ms": 1e3 * (end - middle)}
                parts = [part for part in name.split("/") if part not in ("", ".", "..")]
                path = os.path.join(out, folder, *parts) + ".png"
                os.makedirs(os.path.dirname(path), exist_ok=True)
                made.save(path, compress_level=1)
            coders.append({"coder": "webp", "setting": f"q{quality}", "scale": scale, "folder": folder, "pictures": known})
    with open(os.path.join(out, "coders.json"), "w") as file:
        json.dump(coders, file)
    print(f"libwebp {features.version('webp')}: {len(coders)} settings of {len(found)} pictures", file=sys.stderr)


if __name__ == "__main__":
    main()
