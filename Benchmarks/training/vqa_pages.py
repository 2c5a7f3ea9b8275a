#!/usr/bin/env python3
"""Trains vqa-pages: a Qwen3-VL of native sizes that reads receipts, tables, forms and screens which it draws.

    python3 Benchmarks/training/vqa_pages.py [--start DIR] [--output DIR] [--smoke]

Pages of 96 x 96 to 256 x 384 pixels, 36 to 384 visual tokens; answers are a word or a number of at most five characters. No data
but the seed. Goes on from OUTPUT/training.pt if stopped, or from written weights with --start.
"""
import collections
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
from PIL import Image

import loop
import pages
from helper import Helper
from pages import EVERY_WORD, KINDS, LABELS, MARKS, MOST, ROWS, SIZES, WORDS, Pages
from small_llava import IGNORED, optimisers, pack
from small_qwen3_vl import SmallQwen3VL, Text

PATCH = 8
WIDE = [size for size in SIZES if size[0] >= 160]  # with room for two columns of numbers
CELL = 2 * PATCH
NOTHING = "nothing"
READ = [NOTHING] + MARKS + EVERY_WORD
LETTERS = [NOTHING] + sorted(set("".join(MARKS + EVERY_WORD)))
KEYS = [NOTHING] + LABELS + pages.GOODS
# What the head on visual tokens tells of a cell: the tokens of the text that it is part of, in MOST places; its own two letters;
# what names the row and the column of the text, and their numbers.
HEADS = [len(READ)] * MOST + [len(LETTERS)] * 2 + [len(KEYS)] * 2 + [ROWS] * 2
SIMPLE = MOST + 2  # heads that texts without an order have


# MARK: Model

def build():
    asked = list(pages.every_question())
    words = sorted({word for question in asked for word in re.findall("[A-Za-z]+", question)} | set(WORDS)
                   | {"user", "assistant"})
    return SmallQwen3VL(
        Text(words, asked), patch=PATCH, tower=128, blocks=5, tower_heads=4, side=16, stacked=[1, 3], width=192, layers=4, heads=4,
        shared=2, head=32, hidden=384, classes=sum(HEADS))


def pixels_of(drawn):
    return torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2).float() / 127.5 - 1


def contents(page):
    """What every cell shows [cells, heads]; cells without text have nothing throughout."""
    rows, columns = page.size[1] // CELL, page.size[0] // CELL
    held = torch.zeros(rows, columns, len(HEADS), dtype=torch.long)
    for item in page.items:
        read = [READ.index(token) for token in pages.tokens(item.text)]
        keys = [KEYS.index(key or NOTHING) for key in (item.row_key, item.column_key)]
        told = torch.tensor(read + [0] * (MOST + 2 - len(read)) + keys + [item.row_number, item.column_number])
        at = [page.patch(column) for column in range(item.column, item.column + len(item.text))]
        held[item.line, at[0] // 2:at[-1] // 2 + 1] = told
        for patch, letter in zip(at, item.text):
            held[item.line, patch // 2, MOST + patch % 2] = LETTERS.index(letter)
    return held.flatten(0, 1)


def reading_loss(logits, made, heads=len(HEADS)):
    """Of the cells with text, by all heads, and of the others, by the first; and which share of the places is read right."""
    parts = logits.float().flatten(0, 1).split(HEADS, 1)[:heads]
    held = torch.cat([contents(page) for page in made])
    filled = held[:, 0] != 0
    loss = sum(F.cross_entropy(part[filled], held[filled, n]) for n, part in enumerate(parts)) / 3
    right = torch.stack([part.argmax(-1) == held[:, n] for n, part in enumerate(parts[:MOST])]).all(0)
    return loss + F.cross_entropy(parts[0][~filled], held[~filled, 0]), right[filled].float().mean().item()


def batch_of(model, drawn, asked):
    packed, targets = pack(model.text, [[(q, model.text.answer(a)) for _, q, a in some] for some in asked])
    return pixels_of(drawn), packed, targets


def right(model, logits, targets, asked):
    """Of every page, whether every answer is right, to its end."""
    hits = (logits.argmax(-1) == targets).tolist()
    out = []
    for row, some in zip(hits, asked):
        at, found = 0, []
        for _, _, answer in some:
            length = len(model.text.answer(answer)) + 1
            found.append(all(row[at:at + length]))
            at += length
        out.append(found)
    return out


# MARK: Training

def few(page, draw, most):
    return draw.sample(page.asked, min(most, len(page.asked)))


def halved(pixels):
    image = Image.fromarray(pixels)
    return np.asarray(image.resize((image.width // 2, image.height // 2), Image.Resampling.BICUBIC))


def asked_of(page, number, most=10):
    return few(page, random.Random(number), most)


@torch.no_grad()
def accuracy(model, book, split, count, half=False, autocast=True, batch=12):
    """All, and by kind."""
    counts = collections.Counter()
    by_size = collections.defaultdict(list)
    for number in range(count):
        page = book(split, number)
        by_size[page.size].append((page, asked_of(page, number)))
    for size, several in by_size.items():
        for first in range(0, len(several), batch):
            part = several[first:first + batch]
            drawn = [page.pixels() for page, _ in part]
            asked = [some for _, some in part]
            pixels, packed, targets = batch_of(model, [halved(p) for p in drawn] if half else drawn, asked)
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                logits, _ = model(pixels, packed)
            for hits, some in zip(right(model, logits, targets, asked), asked):
                for hit, (kind, _, _) in zip(hits, some):
                    counts.update({"asked": 1, "right": hit, kind: 1, kind + " right": hit})
    return {"accuracy": counts["right"] / counts["asked"]} | {k: counts[k + " right"] / max(counts[k], 1) for k in KINDS}


def train(arguments, model, book):
    total, sheets, patches, held_back = (6, 2, 400, 20) if arguments.smoke else (arguments.steps, arguments.sheets, 2048, 80)
    if arguments.start:
        sheets = 0

    def part_of(step, part):
        """Loss of one half of a batch, pages of one size, and what the curve tells of it."""
        draw = random.Random(f"{arguments.seed} {step} {part}")
        # First the letters, by the tower alone, on full sheets; then small pages, where less stands beside each other.
        # At last more of those where most is looked up: forms and screens are read by then.
        kinds = (pages.sheet,) if step < sheets else pages.KINDS_OF_PAGES
        if step >= 0.6 * total:
            kinds += (pages.receipt, pages.table)
        sizes = SIZES[:3] if step < 1.25 * sheets else SIZES
        if step >= 0.8 * total and part == 1:  # headings of several columns are learnt last
            kinds, sizes = (pages.table,), WIDE
        size = draw.choice(sizes)
        each = size[0] * size[1] // PATCH ** 2
        made = [book("train", f"{step} {part} {n}", size, kinds) for n in range(max(1, patches // each))]
        with torch.autocast("cpu", torch.bfloat16):
            if step < sheets:
                read = model.read(pixels_of([page.pixels() for page in made]))
            else:
                asked = [few(page, draw, max(6, each // 48)) for page in made]
                pixels, packed, targets = batch_of(model, [page.pixels() for page in made], asked)
                logits, read = model(pixels, packed)
        reading, texts = reading_loss(read, made, SIMPLE if step < sheets else len(HEADS))
        told = {"reading_loss": reading.item(), "texts": texts, "loss": 0, "accuracy": 0}
        if step < sheets:
            return reading / 2, told
        loss = F.cross_entropy(logits.float().transpose(1, 2), targets, ignore_index=IGNORED)
        hits = [hit for row in right(model, logits, targets, asked) for hit in row]
        return (loss + reading) / 2, told | {"loss": loss.item(), "accuracy": sum(hits) / len(hits)}

    def mean(one, other):
        return {key: (one[key] + other[key]) / 2 for key in one}

    def second(step):
        loss, told = part_of(step, 1)
        loss.backward()
        return told

    # Both halves are of the same batch with or without a helper: what is learnt does not depend on the number of cores.
    helper = Helper(model, second) if arguments.threads > 1 else None

    def loss_of(step, _):
        if helper:
            helper.begin(step)
            return part_of(step, 0)
        (one, told), (other, more) = part_of(step, 0), part_of(step, 1)
        return one + other, mean(told, more)

    def join(told):
        return mean(told, helper.add())

    def evaluate():
        found = accuracy(model, book, "held back", held_back)
        return {"held_back_" + key if key == "accuracy" else key: value for key, value in found.items()}

    return loop.train(arguments, model, optimisers(model), total, loss_of, evaluate, join=join if helper else None)


@torch.no_grad()
def finish(arguments, model, book, rows):
    import checkpoint
    import checkpoint_qwen3_vl
    for p in model.parameters():
        p.copy_(p.half())
    checkpoint_qwen3_vl.write(model, arguments.output, most=max(w * h for w, h in SIZES))
    asked = []
    for first, kind in enumerate(KINDS):
        tested = (book("test", 7 * first + n) for n in range(1000))
        page, question, answer = next((page, q, a) for page in tested for k, q, a in page.asked if k == kind)
        asked.append((torch.from_numpy(page.pixels().copy()).permute(2, 0, 1), question, answer))

    def ours(pixels, question, answer):
        batch, packed, _ = batch_of(model, [pixels.permute(1, 2, 0).numpy()], [[(None, question, answer)]])
        return model(batch, packed)[0][0, 0]

    checkpoint.reference(arguments.output, asked, ours, checkpoint_qwen3_vl.processor(arguments.output))
    count = 20 if arguments.smoke else 300
    tested = ((number, book("test", number)) for number in range(count))
    checkpoint.write_questions(
        os.path.join(arguments.output, "test.tar.gz"), ((page.pixels(), asked_of(page, number)) for number, page in tested))
    loop.finish(arguments, rows, {
        "test_images": count, "test": accuracy(model, book, "test", count, autocast=False),
        "test_halved": accuracy(model, book, "test", count, half=True, autocast=False)})


def main():
    parser = needs.Parser(description=__doc__.split("\n")[0])
    parser.add_argument("--start", help="a checkpoint of vqa-pages to start from, else from nothing")
    parser.add_argument("--steps", type=int, default=3100)
    parser.add_argument("--sheets", type=int, default=600,
                        help="steps at the beginning that teach the tower to read, none with --start")
    loop.add_options(parser, "vqa-pages")
    arguments = parser.parse_args()
    loop.start(arguments, "vqa-pages")
    torch.set_num_threads(1)  # each of two processes has one
    book = Pages(arguments.seed)
    model = build()
    if arguments.start:
        from checkpoint_qwen3_vl import start_from
        start_from(model, arguments.start)
    print(f"{sum(p.numel() for p in model.parameters())} parameters, vocabulary {model.text.size}", flush=True)
    rows = train(arguments, model, book)
    if rows is not None:
        finish(arguments, model, book, rows)


if __name__ == "__main__":
    main()
