#!/usr/bin/env python3
"""Trains vqa-small: a LLaVA-1.5 of 64 px and 256 visual tokens that answers the questions of easy-VQA.

    python3 Benchmarks/training/vqa_small.py [--data DIR] [--output DIR] [--smoke]

Stops and goes on: the state lies in OUTPUT/training.pt until the end. Everything drawn depends on the seed alone.
"""
import collections
import functools
import io
import json
import os
import random
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import needs

needs.packages("numpy", "torch", "PIL", "safetensors", "tokenizers", "transformers")
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw

import checkpoint
import loop
from small_llava import IGNORED, SmallLlava, Text, optimisers

MEAN, DEVIATION = (0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)  # vtok-tiny's, whose blocks the tower starts from
SHAPES = ["circle", "rectangle", "triangle"]
HELD_BACK = 200  # pictures of the training split that only the curve is measured on
EPOCHS = 4


class EasyVQA:
    """`pixels[split]` [pictures, 3, 64, 64]; `questions[split][picture]`: (question, answer) pairs."""

    def __init__(self, arguments):
        if arguments.smoke and needs.easy_vqa(arguments.data) is None:
            print("no easy-VQA: pictures and questions of the same kind are composed", flush=True)
            self.compose()
        else:
            self.read(needs.needs_easy_vqa(arguments.data))
        self.colours = [a for a in self.answers if a not in SHAPES + ["yes", "no"]]
        every = sorted({q for split in self.questions.values() for qs in split.values() for q, _ in qs})
        words = sorted({w for q in every for w in re.findall(r"\w+|\?", q)} | set(self.answers))
        self.text = Text(words, every)
        self.token = {answer: self.text.answer(answer) for answer in self.answers}

    def read(self, read):
        self.pixels, self.questions = {}, {}
        self.answers = read("answers.txt").decode().split()
        for split in ("train", "test"):
            self.questions[split] = collections.defaultdict(list)
            for question, answer, image in json.loads(read(f"{split}/questions.json")):
                self.questions[split][image].append((question, answer))
            count = len(self.questions[split])
            self.pixels[split] = torch.stack([
                torch.from_numpy(np.array(Image.open(io.BytesIO(read(f"{split}/images/{i}.png"))).convert("RGB")))
                for i in range(count)]).permute(0, 3, 1, 2).contiguous()

    def compose(self):
        """As many plain pictures as easy-VQA has, with questions of its forms: for smoke runs."""
        draw = random.Random(0)
        colours = {"red": (220, 30, 30), "green": (30, 160, 60), "blue": (40, 60, 220)}
        self.answers = SHAPES + list(colours) + ["yes", "no"]
        self.pixels, self.questions = {}, {}
        for split, count in (("train", 4000), ("test", 1000)):
            pictures, self.questions[split] = [], {}
            for image in range(count):
                shape, colour = draw.choice(SHAPES), draw.choice(list(colours))
                picture = Image.new("RGB", (64, 64), "white")
                x, y, side = draw.randint(0, 36), draw.randint(0, 36), draw.randint(12, 28)
                pen, box = ImageDraw.Draw(picture), [x, y, x + side, y + side]
                {"circle": pen.ellipse, "rectangle": pen.rectangle,
                 "triangle": lambda box, fill: pen.polygon([(x, y), (x + side, y), (x, y + side)], fill)}[shape](
                    box, fill=colours[colour])
                pictures.append(torch.from_numpy(np.array(picture)))
                other = draw.choice([s for s in SHAPES if s != shape])
                self.questions[split][image] = [
                    (f"what is the color of the {shape}?", colour), ("what shape is in the image?", shape),
                    (f"what is the {colour} shape?", shape), (f"does the image contain a {shape}?", "yes"),
                    (f"is there not a {colour} shape?", "no"), (f"is no {other} present?", "yes")]
            self.pixels[split] = torch.stack(pictures).permute(0, 3, 1, 2).contiguous()

    def pairs(self, split, image):
        return [(question, self.token[answer]) for question, answer in self.questions[split][image]]

    def names(self, image):
        """Shape and colour of a training picture as its questions tell them; what they leave open is `IGNORED`."""
        found = [IGNORED, IGNORED]
        for question, answer in self.questions["train"][image]:
            told = answer
            if answer in ("yes", "no"):
                negated = re.search(r"\b(not|no)\b", question) is not None
                if (answer == "yes") == negated:
                    continue
                told = next(w for w in re.findall(r"\w+", question) if w in SHAPES + self.colours)
            for kind, names in enumerate((SHAPES, self.colours)):
                if told in names:
                    found[kind] = names.index(told)
        return found


def build(data, kind=SmallLlava):
    return kind(data.text, side=64, patch=4, tower=192, blocks=5, tower_heads=3, width=192, layers=4, heads=6, hidden=512,
                classes=len(SHAPES) + len(data.colours))


def start_tower(model, folder):
    """The first blocks of vtok-tiny, a timm ViT. It has no norm before its blocks: that starts as a scale."""
    from safetensors.torch import load_file
    w = {k: v.float() for k, v in load_file(os.path.join(folder, "model.safetensors")).items()}
    tower = model.tower
    with torch.no_grad():
        tower.embed.weight.copy_(w["patch_embed.proj.weight"].flatten(1))
        tower.cls.copy_(w["cls_token"].flatten())
        tower.position.copy_(w["pos_embed"][0])
        tower.position[1:] += w["patch_embed.proj.bias"]
        tower.pre.weight.fill_(tower.position[1:].std().item())
        for i, block in enumerate(tower.blocks):
            parts = {"norm1": block.norm1, "norm2": block.norm2, "attn.qkv": block.qkv, "attn.proj": block.out,
                     "mlp.fc1": block.fc1, "mlp.fc2": block.fc2}
            for name, part in parts.items():
                part.weight.copy_(w[f"blocks.{i}.{name}.weight"])
                part.bias.copy_(w[f"blocks.{i}.{name}.bias"])


def normalised(pixels):
    return (pixels.float() / 255 - torch.tensor(MEAN)[:, None, None]) / torch.tensor(DEVIATION)[:, None, None]


def turned(pixels, draw):
    """One of the eight symmetries for each picture: no question asks for a place or a side."""
    out = []
    for p in pixels:
        kind = draw.randrange(8)
        p = p.flip(-1) if kind & 1 else p
        p = p.flip(-2) if kind & 2 else p
        out.append(p.transpose(-1, -2) if kind & 4 else p)
    return torch.stack(out)


@torch.no_grad()
def accuracy(model, data, split, images, batch=50, autocast=True):
    """Over all questions and over those that are not answered yes or no; by the likeliest of all tokens, then the end."""
    counts = collections.Counter()
    polar = torch.tensor([data.token["yes"], data.token["no"]])
    for at in range(0, len(images), batch):
        part = images[at:at + batch]
        packed, targets = model.pack([data.pairs(split, i) for i in part])
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            logits, _ = model(normalised(data.pixels[split][part]), packed)
        asked, right = loop.scored(logits, targets)
        open_ = asked & ~torch.isin(targets[:, ::2], polar)
        counts.update(asked=asked.sum().item(), right=right.sum().item(), open=open_.sum().item(),
                      open_right=(right & open_).sum().item())
    return counts["right"] / counts["asked"], counts["open_right"] / max(counts["open"], 1)


def train(arguments, data, model, epochs=EPOCHS, **rates):
    batch, most = (8, 6) if arguments.smoke else (16, 12)
    count = 280 if arguments.smoke else len(data.pixels["train"])
    held_back = list(range(count - HELD_BACK, count))
    images = list(range(count - HELD_BACK))
    per_epoch = len(images) // batch
    names = torch.tensor([data.names(i) for i in range(count)])

    @functools.cache
    def batches(epoch):
        draw = random.Random(f"{arguments.seed} {epoch}")
        order = images[:]
        draw.shuffle(order)
        # Pictures with about as many questions go together, so that little is padded.
        window = batch * 8
        order = [i for w in range(0, len(order), window)
                 for i in sorted(order[w:w + window], key=lambda i: len(data.questions["train"][i]))]
        parts = [order[b * batch:(b + 1) * batch] for b in range(per_epoch)]
        draw.shuffle(parts)
        return parts

    def loss_of(step, draw):
        epoch, at = divmod(step, per_epoch)
        part = batches(epoch)[at]
        pairs = [data.pairs("train", i) for i in part]
        packed, targets = model.pack([draw.sample(p, min(most, len(p))) for p in pairs])
        pixels = normalised(turned(data.pixels["train"][part], draw))
        with torch.autocast("cpu", torch.bfloat16):
            logits, named = model(pixels, packed)
        loss, right = loop.answer_loss(logits, targets)
        shapes, colours = named.float().split([len(SHAPES), len(data.colours)], 1)
        told = names[part]
        naming = F.cross_entropy(shapes, told[:, 0], ignore_index=IGNORED) + F.cross_entropy(
            colours, told[:, 1], ignore_index=IGNORED)
        return loss + 0.3 * naming, {"loss": loss, "naming_loss": naming, "accuracy": right}

    def evaluate():
        return dict(zip(("held_back", "held_back_open"), accuracy(model, data, "train", held_back)))

    total = per_epoch * (1 if arguments.smoke else epochs)
    return loop.train(arguments, model, optimisers(model, **rates), total, loss_of, evaluate)


def reference_questions(data):
    """Test questions of several forms: (pixels [3, height, width], question, answer)."""
    asked = []
    for kind in ("color of the", "what shape", "is there not a", "is no", "what is the red", "does the image contain"):
        asked.append(next((data.pixels["test"][i], q, a) for i in range(len(asked) * 7, 1000)
                          for q, a in data.questions["test"][i] if kind in q))
    return asked


@torch.no_grad()
def finish(arguments, data, model, rows, write=None):
    """The files, the test split as the written F16 weights answer it, and what is said to a few questions: by transformers,
    or by the model itself where `write(folder)` writes a layout that transformers does not know.
    """
    for p in model.parameters():
        p.copy_(p.half())

    def ours(pixels, question, answer):
        return model(normalised(pixels[None]), model.pack([[(question, data.token[answer])]])[0])[0][0, 0]

    asked = reference_questions(data)
    if write:
        write(arguments.output)
        logits = [ours(*question) for question in asked]
        said = [data.text.tokenizer.decode([scores.argmax().item()]) for scores in logits]
        checkpoint.write_reference(arguments.output, [(*q, word) for q, word in zip(asked, said)], logits)
    else:
        checkpoint.write(model, arguments.output, MEAN, DEVIATION)
        checkpoint.reference(arguments.output, asked, ours)
    count = 50 if arguments.smoke else len(data.pixels["test"])
    all_, open_ = accuracy(model, data, "test", list(range(count)), autocast=False)
    loop.finish(arguments, rows, {"test_accuracy": all_, "test_accuracy_open": open_, "test_images": count})


def add_options(parser, name):
    """Of recipes that go on from vqa-small."""
    parser.add_argument("--data", help="folder of easy-VQA (default: that of the PyPI package easy-vqa)")
    parser.add_argument("--model", default=os.path.join(loop.ROOT, "Benchmarks", "models", "vqa-small"))
    loop.add_options(parser, name)


def main():
    parser = needs.Parser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", help="folder of easy-VQA (default: that of the PyPI package easy-vqa)")
    loop.add_options(parser, "vqa-small")
    arguments = parser.parse_args()
    loop.start(arguments, "vqa-small")
    data = EasyVQA(arguments)
    model = build(data)
    start_tower(model, os.path.join(loop.ROOT, "Sources", "CVTokTiny"))
    print(f"{sum(p.numel() for p in model.parameters())} parameters, vocabulary {data.text.size}", flush=True)
    rows = train(arguments, data, model)
    if rows is not None:
        finish(arguments, data, model, rows)


if __name__ == "__main__":
    main()
