"""Makes the small files of this folder and expected.json, in which the pixels are Pillow's: turned by exif_transpose,
transparency laid on white by alpha_composite ("white") or dropped by convert("RGB") ("drop").

usage: python3 make.py        (needs Pillow with WebP, and jpegtran of libjpeg-turbo)

basn0g16.png (PngSuite, Willem van Schaik) and peacock.progressive.scan000.jpeg were not made here.
"""
import hashlib
import io
import json
import random
import struct
import subprocess
import zlib
from pathlib import Path

from PIL import Image, ImageOps

HERE = Path(__file__).parent
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
SIZE = WIDTH, HEIGHT = 13, 9
noise = random.Random(17)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(colour, depth, before=b"", after=b"", interlaced=False):
    """Noise of a colour type and bit depth."""
    count = CHANNELS[colour]
    pixels = [[[noise.randrange(1 << depth) for _ in range(count)] for _ in range(WIDTH)] for _ in range(HEIGHT)]
    raw = b""
    for x, y, right, down in ADAM7 if interlaced else [(0, 0, 1, 1)]:
        for row in pixels[y::down]:
            bits = "".join(f"{sample:0{depth}b}" for pixel in row[x::right] for sample in pixel)
            bits += "0" * (-len(bits) % 8)
            if bits:
                raw += b"\0" + int(bits, 2).to_bytes(len(bits) // 8, "big")
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, depth, colour, 0, 0, interlaced)
    before = before(pixels) if callable(before) else before
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before + chunk(b"IDAT", zlib.compress(raw)) + after
            + chunk(b"IEND", b""))


def exif(orientation, order=">"):
    return struct.pack(order + "2sHIHHHIHHI", b"MM" if order == ">" else b"II", 42, 8, 1, 0x112, 3, 1, orientation, 0, 0)


def palette(depth, transparent):
    data = bytes(noise.randrange(256) for _ in range(3 << depth))
    alphas = bytes(noise.randrange(256) for _ in range(transparent))
    return chunk(b"PLTE", data) + chunk(b"tRNS", alphas)


def key(pixels):
    """The colour of the first pixel is transparent."""
    return chunk(b"tRNS", struct.pack(f">{len(pixels[0][0])}H", *pixels[0][0]))


def webp(mode, **settings):
    image = Image.frombytes(mode, SIZE, noise.randbytes(WIDTH * HEIGHT * len(mode)))
    file = io.BytesIO()
    image.save(file, "WEBP", **settings)
    return file.getvalue()


def jpeg(**settings):
    image = Image.frombytes("RGB", SIZE, noise.randbytes(WIDTH * HEIGHT * 3)).resize((26, 18), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=60, **settings)
    return file.getvalue()


def scans(script):
    (HERE / "scans.txt").write_text(script)
    done = subprocess.run(["jpegtran", "-scans", HERE / "scans.txt"], input=jpeg(), capture_output=True, check=True)
    (HERE / "scans.txt").unlink()
    return done.stdout


FILES = {
    "grey-alpha8.png": png(4, 8), "grey-alpha16.png": png(4, 16), "rgba8.png": png(6, 8), "rgba16.png": png(6, 16),
    "rgba8-interlaced.png": png(6, 8, interlaced=True), "grey-alpha16-interlaced.png": png(4, 16, interlaced=True),
    "palette1-trns.png": png(3, 1, palette(1, 1)), "palette4-trns.png": png(3, 4, palette(4, 9)),
    "palette8-trns-interlaced.png": png(3, 8, palette(8, 256), interlaced=True),
    "grey1-key.png": png(0, 1, key), "grey8-key.png": png(0, 8, key), "rgb8-key.png": png(2, 8, key),
    "rgb8-gamma.png": png(2, 8, chunk(b"gAMA", struct.pack(">I", 100000))),
    **{f"exif{n}.png": png(2, 8, chunk(b"eXIf", exif(n, "<>"[n % 2]))) for n in range(1, 9)},
    "exif6-behind.png": png(2, 8, after=chunk(b"eXIf", exif(6))),
    "lossy.webp": webp("RGB", quality=70), "lossless.webp": webp("RGB", lossless=True),
    "lossy-alpha.webp": webp("RGBA", quality=70), "lossless-alpha.webp": webp("RGBA", lossless=True, exact=True),
    "exif7-profile-alpha.webp": webp("RGBA", quality=90, exif=exif(7), icc_profile=b"\0" * 132),
    "exif8.webp": webp("RGB", lossless=True, exif=exif(8, "<")),
}
# Pixels of JPEG may differ by a level between versions of libjpeg: only that they decode is kept.
JPEGS = {
    "exif5.jpg": jpeg(exif=b"Exif\0\0" + exif(5)),
    "sequential-scans.jpg": scans("0;\n1 2;\n"),
    "spectral-scans.jpg": scans("0 1 2: 0-0, 0, 0;\n0: 1-5, 0, 0;\n0: 6-63, 0, 0;\n1: 1-63, 0, 0;\n2: 1-63, 0, 0;\n"),
    "late-scans.jpg": scans(
        "0: 0-0, 0, 3;\n1: 0-0, 0, 1;\n2: 0-0, 0, 0;\n0: 0-0, 3, 2;\n0: 0-0, 2, 1;\n0: 1-63, 0, 1;\n1: 1-63, 0, 0;\n"
        "2: 1-20, 0, 1;\n2: 21-63, 0, 0;\n2: 1-20, 1, 0;\n0: 1-63, 1, 0;\n1: 0-0, 1, 0;\n0: 0-0, 1, 0;\n"),
}


def pixels(file, white):
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(file)))
    if white:
        ground = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(ground, image.convert("RGBA"))
    return image.convert("RGB")


if __name__ == "__main__":
    expected = []
    for name, file in FILES.items():
        (HERE / name).write_bytes(file)
        row = {"file": name, "size": pixels(file, True).size}
        for rule in ["white", "drop"]:
            row[rule] = hashlib.sha256(pixels(file, rule == "white").tobytes()).hexdigest()
        expected.append(row)
    for name, file in JPEGS.items():
        (HERE / name).write_bytes(file)
    frames = [Image.new("RGB", SIZE, colour) for colour in ["red", "blue"]]
    frames[0].save(HERE / "animated.webp", save_all=True, append_images=frames[1:], duration=100)
    lines = ",\n".join(" " + json.dumps(row) for row in expected)
    (HERE / "expected.json").write_text(f"[\n{lines}\n]\n")
