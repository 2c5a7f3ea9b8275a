#!/usr/bin/env python3
"""Trains vqa-small: a LLaVA-1.5 of 64 px and 256 visual tokens that answers the questions of easy-VQA.

    python3 Benchmarks/training/vqa_small.py [--data DIR] [--output DIR] [--smoke]

Stops and goes on: the state lies in OUTPUT/training.pt until the end. Everything drawn depends on the seed alone.
"""
import argparse
import collections
import csv
import io
import json
import math
import os
import random
import re
import tarfile
import tempfile
import time

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

import checkpoint
import small_llava
from small_llava import IGNORED, SmallLlava, Text, optimisers, pack

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
SHARED = os.path.join(ROOT, "..", "shared", "data")
MEAN, DEVIATION = (0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)  # vtok-tiny's, whose blocks the tower starts from
SHAPES = ["circle", "rectangle", "triangle"]
HELD_BACK = 200  # pictures of the training split that only the curve is measured on

# Epochs and visual tokens kept in them. Most steps see some patches of a picture only, as in FLIP (arXiv 2212.00794).
PLAN = [(4, 96), (5, 256)]


class EasyVQA:
    def __init__(self, folder):
        self.pixels, self.questions = {}, {}
        with tarfile.open(os.path.join(folder, "easy-vqa.tar.gz")) as archive:
            files = {re.sub(r"^\./", "", m.name): m for m in archive if m.isfile()}
            read = lambda name: archive.extractfile(files[name]).read()
            self.answers = read("answers.txt").decode().split()
            for split in ("train", "test"):
                self.questions[split] = collections.defaultdict(list)
                for question, answer, image in json.loads(read(f"{split}/questions.json")):
                    self.questions[split][image].append((question, answer))
                count = len(self.questions[split])
                self.pixels[split] = torch.stack([
                    torch.from_numpy(np.array(Image.open(io.BytesIO(read(f"{split}/images/{i}.png"))).convert("RGB")))
                    for i in range(count)]).permute(0, 3, 1, 2).contiguous()
        self.colours = [a for a in self.answers if a not in SHAPES + ["yes", "no"]]
        every = sorted({q for split in self.questions.values() for qs in split.values() for q, _ in qs})
        words = sorted({w for q in every for w in re.findall(r"\w+|\?", q)} | set(self.answers))
        self.text = Text(words, every)
        self.token = {answer: self.text.answer(answer) for answer in self.answers}

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


def build(text, data):
    return SmallLlava(text, side=64, patch=4, tower=192, blocks=5, tower_heads=3, width=192, layers=4, heads=6, hidden=512,
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
    polar = {data.token["yes"], data.token["no"]}
    for at in range(0, len(images), batch):
        part = images[at:at + batch]
        packed, targets = pack(data.text, [data.pairs(split, i) for i in part])
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            logits, _ = model(normalised(data.pixels[split][part]), packed)
        picked = logits.argmax(-1)
        right = (picked == targets).view(len(part), -1, 2).all(-1)
        answers = targets.view(len(part), -1, 2)[..., 0]
        asked = answers != IGNORED
        open_ = asked & ~torch.isin(answers, torch.tensor(list(polar)))
        counts.update(asked=asked.sum().item(), right=(right & asked).sum().item(), open=open_.sum().item(),
                      open_right=(right & open_).sum().item())
    return counts["right"] / counts["asked"], counts["open_right"] / max(counts["open"], 1)


def train(arguments, data, model):
    batch, most = (16, 12) if not arguments.smoke else (8, 6)
    plan = PLAN if not arguments.smoke else [(1, 96), (1, 256)]
    count = len(data.pixels["train"]) if not arguments.smoke else 280
    held_back = list(range(count - HELD_BACK, count))
    images = list(range(count - HELD_BACK))
    per_epoch = len(images) // batch
    keeps = [keep for epochs, keep in plan for _ in range(epochs)]
    total = per_epoch * len(keeps)
    optimiser = optimisers(model)
    rates = [[group["lr"] for group in o.param_groups] for o in optimiser]
    names = torch.tensor([data.names(i) for i in range(count)])
    state_file = os.path.join(arguments.output, "training.pt")
    step, seconds, rows = 0, 0.0, []
    if os.path.exists(state_file) and not arguments.smoke:
        state = torch.load(state_file, weights_only=True)
        model.load_state_dict(state["model"])
        for o, saved in zip(optimiser, state["optimiser"]):
            o.load_state_dict(saved)
        step, seconds, rows = state["step"], state["seconds"], state["rows"]
    saved_at, began = time.monotonic(), time.monotonic() - seconds
    running = collections.defaultdict(float)

    def save():
        torch.save({"model": model.state_dict(), "optimiser": [o.state_dict() for o in optimiser], "step": step,
                    "seconds": time.monotonic() - began, "rows": rows}, state_file + ".part")
        os.replace(state_file + ".part", state_file)

    while step < total:
        epoch, at = divmod(step, per_epoch)
        draw = random.Random(f"{arguments.seed} {epoch}")
        order = images[:]
        draw.shuffle(order)
        # Pictures with about as many questions go together, so that little is padded.
        window = batch * 8
        order = [i for w in range(0, len(order), window)
                 for i in sorted(order[w:w + window], key=lambda i: len(data.questions["train"][i]))]
        batches = [order[b * batch:(b + 1) * batch] for b in range(per_epoch)]
        draw.shuffle(batches)
        for at in range(at, per_epoch):
            draw = random.Random(f"{arguments.seed} {step}")
            torch.manual_seed(draw.randrange(1 << 30))
            part = batches[at]
            pairs = [data.pairs("train", i) for i in part]
            packed, targets = pack(data.text, [draw.sample(p, min(most, len(p))) for p in pairs])
            pixels = normalised(turned(data.pixels["train"][part], draw))
            keep = keeps[epoch]
            full = model.visual_tokens
            kept = torch.rand(batch, full).argsort(1)[:, :keep].sort(1).values if keep < full else None
            # Up over the first steps, then flat, then down to nothing over the last 60%.
            rate = min((step + 1) / 100, 1, (total - step) / (0.6 * total))
            for o, first in zip(optimiser, rates):
                for group, lr in zip(o.param_groups, first):
                    group["lr"] = lr * rate
            with torch.autocast("cpu", torch.bfloat16):
                logits, named = model(pixels, packed, kept)
            weight = torch.tensor([1, 0.1]).repeat(targets.shape[1] // 2)
            losses = F.cross_entropy(logits.float().transpose(1, 2), targets, ignore_index=IGNORED, reduction="none")
            answered = (targets != IGNORED).sum() / 2
            loss = (losses * weight).sum() / answered
            told = names[part]
            shapes, colours = named.float().split([len(SHAPES), len(data.colours)], 1)
            naming = F.cross_entropy(shapes, told[:, 0], ignore_index=IGNORED) + F.cross_entropy(
                colours, told[:, 1], ignore_index=IGNORED)
            (loss + 0.3 * naming).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for o in optimiser:
                o.step()
                o.zero_grad(set_to_none=True)
            with torch.no_grad():
                answers, found = targets[:, ::2], logits[:, ::2].argmax(-1)
                running["right"] += ((answers == found) & (answers != IGNORED)).sum().item() / answered.item()
            running["loss"] += loss.item()
            running["naming"] += naming.item()
            running["n"] += 1
            step += 1
            if step % 25 == 0 or step == total:
                n = running["n"]
                row = {"step": step, "epoch": round(step / per_epoch, 3), "tokens": keep,
                       "seconds": round(time.monotonic() - began, 1), "loss": round(running["loss"] / n, 4),
                       "naming_loss": round(running["naming"] / n, 4), "accuracy": round(running["right"] / n, 4)}
                running.clear()
                if step % 200 == 0 or step == total:
                    model.eval()
                    all_, open_ = accuracy(model, data, "train", held_back)
                    row.update(held_back=round(all_, 4), held_back_open=round(open_, 4))
                rows.append(row)
                print(row, flush=True)
                if time.monotonic() - saved_at > 240:
                    save()
                    saved_at = time.monotonic()
            if arguments.stop and step >= arguments.stop:
                save()
                return None
    if not arguments.smoke:
        save()
    return rows


@torch.no_grad()
def finish(arguments, data, model, rows):
    """Files, the curve, the test split as the written F16 weights answer it, and what transformers says of a few questions."""
    for p in model.parameters():
        p.copy_(p.half())
    checkpoint.write(model, arguments.output, MEAN, DEVIATION)
    columns = ["step", "epoch", "tokens", "seconds", "loss", "naming_loss", "accuracy", "held_back", "held_back_open"]
    with open(os.path.join(arguments.output, "curve.csv"), "w") as out:
        table = csv.DictWriter(out, columns, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    folder = os.path.join(arguments.output, "reference")
    os.makedirs(folder, exist_ok=True)
    asked = []
    for kind in ("color of the", "what shape", "is there not a", "is no", "is the red", "does the image contain"):
        image, question, answer = next(
            (i, q, a) for i in range(len(asked) * 7, 1000) for q, a in data.questions["test"][i] if kind in q)
        Image.fromarray(data.pixels["test"][image].permute(1, 2, 0).numpy()).save(os.path.join(folder, f"{image}.png"))
        asked.append((image, question, answer))
    theirs = checkpoint.reference(arguments.output, [(f"{image}.png", *rest) for image, *rest in asked])
    for (image, question, answer), expected in zip(asked, theirs):
        packed, _ = pack(data.text, [[(question, data.token[answer])]])
        ours = model(normalised(data.pixels["test"][image:image + 1]), packed)[0][0, 0]
        assert (ours - expected).abs().max() < 1e-3, "training and transformers see different prompts"
    count = len(data.pixels["test"]) if not arguments.smoke else 50
    # In float32, as vtok computes.
    all_, open_ = accuracy(model, data, "test", list(range(count)), autocast=False)
    result = {"test_accuracy": all_, "test_accuracy_open": open_, "test_images": count, "steps": rows[-1]["step"],
              "seconds": rows[-1]["seconds"], "seed": arguments.seed}
    with open(os.path.join(arguments.output, "result.json"), "w") as out:
        json.dump(result, out, indent=1)
        out.write("\n")
    print(result, flush=True)
    state = os.path.join(arguments.output, "training.pt")
    if os.path.exists(state):
        os.remove(state)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default=os.path.join(SHARED, "easy-vqa"), help="folder with easy-vqa.tar.gz")
    parser.add_argument("--output", help="default: Benchmarks/models/vqa-small, or a temporary folder with --smoke")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="on busy cores one is the fastest")
    parser.add_argument("--stop", type=int, default=0, help="stop at this step; the next run goes on from there")
    parser.add_argument("--smoke", action="store_true", help="a few steps over a few pictures, through to the files")
    arguments = parser.parse_args()
    temporary = tempfile.TemporaryDirectory() if arguments.smoke else None
    arguments.output = arguments.output or (temporary.name if temporary else os.path.join(ROOT, "Benchmarks/models/vqa-small"))
    os.makedirs(arguments.output, exist_ok=True)
    torch.manual_seed(arguments.seed)
    small_llava.keep_memory()
    torch.set_num_threads(arguments.threads)
    data = EasyVQA(arguments.data)
    model = build(data.text, data)
    start_tower(model, os.path.join(ROOT, "Sources", "CVTokTiny"))
    print(f"{sum(p.numel() for p in model.parameters())} parameters, vocabulary {data.text.size}", flush=True)
    rows = train(arguments, data, model)
    if rows is not None:
        finish(arguments, data, model, rows)


if __name__ == "__main__":
    main()
