#!/usr/bin/env python3
"""Trains vqa-tiles: a LLaVA-NeXT with a thumbnail and 2x2 tiles of 32 px, 336 visual tokens, on pictures that it composes.

    python3 Benchmarks/training/vqa_tiles.py [--small DIR] [--output DIR] [--smoke]

Two to five small shapes lie on a canvas of 64 px. In the thumbnail they are 3 or 4 px: their colours and places can be
told, their forms hardly. No data but the seed. Starts from vqa-small; goes on from OUTPUT/training.pt if stopped.
"""
import collections
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import needs

needs.packages("numpy", "torch", "PIL", "safetensors", "tokenizers", "transformers")
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw

import loop
from small_llava import IGNORED, TEMPLATES, SmallLlava, Text, optimisers, pack

CANVAS, SIDE = 64, 32
MEAN, DEVIATION = (0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)
SHAPES = ["circle", "square", "triangle", "cross"]
COLOURS = {"red": (220, 40, 40), "green": (40, 160, 60), "blue": (50, 80, 220), "yellow": (235, 200, 40),
           "purple": (150, 60, 170), "black": (30, 30, 30)}
COUNTS = ["zero", "one", "two", "three", "four", "five"]
SIDES = ["left", "right", "top", "bottom"]
ANSWERS = ["yes", "no"] + COUNTS + SIDES + list(COLOURS) + SHAPES
KINDS = ["colour", "shape", "count", "position", "polar"]


# MARK: Pictures and questions

def scene(draw):
    """Shapes (form, colour, x, y, size) that do not touch; x and y are middles, never so near the picture's that left and
    right, top and bottom are in doubt."""
    things = []
    for _ in range(draw.randint(2, 5)):
        for _ in range(50):
            size = draw.uniform(5.5, 8)
            x, y = (draw.uniform(size / 2 + 1, CANVAS - size / 2 - 1) for _ in range(2))
            clear = all(max(abs(x - o[2]), abs(y - o[3])) > (size + o[4]) / 2 + 1.5 for o in things)
            if clear and abs(x - CANVAS / 2) > 2.5 and abs(y - CANVAS / 2) > 2.5:
                things.append((draw.choice(SHAPES), draw.choice(list(COLOURS)), x, y, size))
                break
    return things


def picture(things, draw):
    """RGB [64, 64, 3], drawn at eight times the size and averaged."""
    scale = 8
    ground = tuple(draw.randint(225, 255) for _ in range(3))
    image = Image.new("RGB", (CANVAS * scale, CANVAS * scale), ground)
    pen = ImageDraw.Draw(image)
    for form, colour, x, y, size in things:
        r, g, b = (min(255, max(0, c + draw.randint(-12, 12))) for c in COLOURS[colour])
        x, y, h = x * scale, y * scale, size * scale / 2
        if form == "circle":
            pen.ellipse([x - h, y - h, x + h, y + h], fill=(r, g, b))
        elif form == "square":
            h *= 0.9
            pen.rectangle([x - h, y - h, x + h, y + h], fill=(r, g, b))
        elif form == "triangle":
            pen.polygon([(x, y - h), (x - h, y + h), (x + h, y + h)], fill=(r, g, b))
        else:
            pen.rectangle([x - h, y - h / 3, x + h, y + h / 3], fill=(r, g, b))
            pen.rectangle([x - h / 3, y - h, x + h / 3, y + h], fill=(r, g, b))
    return np.asarray(image.resize((CANVAS, CANVAS), Image.Resampling.BOX))


def questions(things, draw):
    """All sorts that the scene allows, one or two of each: (kind, question, answer)."""
    shapes = collections.Counter(t[0] for t in things)
    colours = collections.Counter(t[1] for t in things)
    pairs = collections.Counter(t[:2] for t in things)
    out = []
    lone_shapes = [t for t in things if shapes[t[0]] == 1]
    lone_colours = [t for t in things if colours[t[1]] == 1]
    lone = [t for t in things if pairs[t[:2]] == 1]
    for t in draw.sample(lone_shapes, min(2, len(lone_shapes))):
        out.append(("colour", f"what color is the {t[0]}?", t[1]))
    for t in draw.sample(lone_colours, min(2, len(lone_colours))):
        out.append(("shape", f"what shape is {t[1]}?", t[0]))
    form = draw.choice(SHAPES)
    out.append(("count", f"how many {form}{'es' if form == 'cross' else 's'} are there?", COUNTS[shapes[form]]))
    out.append(("count", "how many shapes are there?", COUNTS[len(things)]))
    for t in draw.sample(lone, min(1, len(lone))):
        name = t[0] if shapes[t[0]] == 1 and draw.random() < 0.7 else f"{t[1]} {t[0]}"
        out.append(("position", f"is the {name} on the left or on the right?", "left" if t[2] < CANVAS / 2 else "right"))
        out.append(("position", f"is the {name} at the top or at the bottom?", "top" if t[3] < CANVAS / 2 else "bottom"))
    there = draw.choice(things)
    out.append(("polar", f"is there a {there[1]} {there[0]}?", "yes"))
    # A colour that is there with a form that it does not have: told by binding the two only.
    wrong = [(f, c) for c in colours for f in SHAPES if (f, c) not in pairs]
    for f, c in draw.sample(wrong, min(1, len(wrong))):
        out.append(("polar", f"is there a {c} {f}?", "no"))
    draw.shuffle(out)
    return out


class Scenes:
    """Pictures by number: the same for the same seed."""

    def __init__(self, seed):
        self.seed = seed

    def __call__(self, split, number):
        draw = random.Random(f"{self.seed} {split} {number}")
        things = scene(draw)
        return picture(things, draw), things, questions(things, draw)


def every_question():
    names = SHAPES + [f"{c} {s}" for c in COLOURS for s in SHAPES]
    yield from (f"what color is the {s}?" for s in SHAPES)
    yield from (f"what shape is {c}?" for c in COLOURS)
    yield from (f"how many {s}{'es' if s == 'cross' else 's'} are there?" for s in SHAPES)
    yield "how many shapes are there?"
    for name in names:
        yield f"is the {name} on the left or on the right?"
        yield f"is the {name} at the top or at the bottom?"
    yield from (f"is there a {c} {s}?" for c in COLOURS for s in SHAPES)


# MARK: Model

def build(small=None):
    """Fresh, or with vqa-small's tower, projector and decoder: the middle of its positions, its rows of shared words."""
    asked = list(every_question())
    system = TEMPLATES["llava_next"].split(" USER:")[0]
    words = sorted({w for q in asked + [system] for w in q.replace("?", " ?").replace(".", " .").replace(",", " ,").split()}
                   | set(ANSWERS))
    text = Text(words, asked, TEMPLATES["llava_next"])
    model = SmallLlava(text, side=SIDE, patch=4, tower=192, blocks=5, tower_heads=3, width=192, layers=4, heads=6, hidden=512,
                       classes=len(SHAPES) + len(COLOURS), rows_end=True)
    if small:
        import checkpoint
        checkpoint.start_from(model, small)
    return model


def views(pictures):
    """Thumbnail and tiles, normalised [batch, 5, 3, 32, 32], from RGB [64, 64, 3]."""
    out = []
    for rgb in pictures:
        small = np.asarray(Image.fromarray(rgb).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
        out += [small] + [rgb[r:r + SIDE, c:c + SIDE] for r in (0, SIDE) for c in (0, SIDE)]
    pixels = torch.from_numpy(np.stack(out)).permute(0, 3, 1, 2).float() / 255
    pixels = (pixels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(DEVIATION)[:, None, None]
    return pixels.view(len(pictures), 5, 3, SIDE, SIDE)


def contents(things):
    """Which shapes and colours each view holds [5, classes], by their middles."""
    held = torch.zeros(5, len(SHAPES) + len(COLOURS))
    for form, colour, x, y, _ in things:
        for view in (0, 1 + 2 * (y >= SIDE) + (x >= SIDE)):
            held[view, SHAPES.index(form)] = held[view, len(SHAPES) + list(COLOURS).index(colour)] = 1
    return held


def batch_of(model, scenes, split, numbers):
    made = [scenes(split, number) for number in numbers]
    pairs = [[(q, model.text.answer(a)) for _, q, a in asked] for _, _, asked in made]
    packed, targets = pack(model.text, pairs)
    return views([rgb for rgb, _, _ in made]), packed, targets, made


@torch.no_grad()
def accuracy(model, scenes, split, count, batch=25, thumbnail_only=False, autocast=True):
    counts = collections.Counter()
    for first in range(0, count, batch):
        pixels, packed, targets, made = batch_of(model, scenes, split, range(first, min(first + batch, count)))
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            logits, _ = model.forward_tiles(pixels, packed, thumbnail_only)
        _, right = loop.scored(logits, targets)
        for row, (_, _, asked) in zip(right.tolist(), made):
            for hit, (kind, _, _) in zip(row, asked):
                counts.update({"asked": 1, "right": hit, kind: 1, kind + " right": hit})
    out = {"accuracy": counts["right"] / counts["asked"]}
    open_ = [k for k in KINDS if k != "polar"]
    out["open"] = sum(counts[k + " right"] for k in open_) / sum(counts[k] for k in open_)
    out |= {k: counts[k + " right"] / max(counts[k], 1) for k in KINDS}
    return out


def train(arguments, model, scenes):
    batch, total, held_back = (4, 6, 20) if arguments.smoke else (16, arguments.steps, 150)

    def loss_of(step, draw):
        pixels, packed, targets, made = batch_of(model, scenes, "train", range(step * batch, (step + 1) * batch))
        # Published models have read pictures of many lengths; this one has a single length, and would take every shorter
        # prompt for nonsense. So half of the questions stand nearer to the picture's tokens than they do in truth.
        stretch = torch.tensor([draw.choice((1, draw.uniform(0.1, 1))) for _ in made])
        with torch.autocast("cpu", torch.bfloat16):
            logits, named = model.forward_tiles(pixels, packed, stretch=stretch)
        loss, right = loop.answer_loss(logits, targets)
        held = torch.stack([contents(things) for _, things, _ in made])
        naming = F.binary_cross_entropy_with_logits(named.float(), held)
        return loss + 2 * naming, {"loss": loss, "naming_loss": naming, "accuracy": right}

    def evaluate():
        found = accuracy(model, scenes, "held back", held_back)
        return {"held_back_" + key if key in ("accuracy", "open") else key: value for key, value in found.items()}

    return loop.train(arguments, model, optimisers(model), total, loss_of, evaluate)


@torch.no_grad()
def finish(arguments, model, scenes, rows):
    import checkpoint
    for p in model.parameters():
        p.copy_(p.half())
    checkpoint.write(model, arguments.output, MEAN, DEVIATION, pinpoints=[[CANVAS, CANVAS]])
    asked = []
    for number, kind in enumerate(KINDS):
        rgb, _, qa = scenes("test", number)
        asked.append((rgb, *next((q, a) for k, q, a in qa if k == kind or kind in ("colour", "shape"))))

    def ours(pixels, question, answer):
        packed, _ = pack(model.text, [[(question, model.text.answer(answer))]])
        return model.forward_tiles(views([pixels.permute(1, 2, 0).numpy()]), packed)[0][0, 0]

    checkpoint.reference(
        arguments.output, [(torch.from_numpy(rgb.copy()).permute(2, 0, 1), q, a) for rgb, q, a in asked], ours)
    count = 20 if arguments.smoke else 500
    tested = (scenes("test", number) for number in range(count))
    checkpoint.write_questions(
        os.path.join(arguments.output, "test.tar.gz"), ((rgb, questions) for rgb, _, questions in tested))
    loop.finish(arguments, rows, {
        "test_images": count, "test": accuracy(model, scenes, "test", count, autocast=False),
        "test_thumbnail_only": accuracy(model, scenes, "test", count, thumbnail_only=True, autocast=False)})


def main():
    parser = needs.Parser(description=__doc__.split("\n")[0])
    parser.add_argument("--small", default=os.path.join(loop.ROOT, "Benchmarks", "models", "vqa-small"),
                        help="a checkpoint of vqa-small to start from; where it is missing, from nothing")
    parser.add_argument("--steps", type=int, default=2800)
    loop.add_options(parser, "vqa-tiles")
    arguments = parser.parse_args()
    scenes = Scenes(arguments.seed)
    loop.start(arguments, "vqa-tiles")
    model = build(arguments.small if os.path.exists(os.path.join(arguments.small, "model.safetensors")) else None)
    print(f"{sum(p.numel() for p in model.parameters())} parameters, vocabulary {model.text.size}", flush=True)
    rows = train(arguments, model, scenes)
    if rows is not None:
        finish(arguments, model, scenes, rows)


if __name__ == "__main__":
    main()
