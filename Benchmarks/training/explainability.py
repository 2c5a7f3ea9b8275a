#!/usr/bin/env python3
"""Trains the net that tells from the first layer's attention which visual tokens vqa-small will need for a question.

    python3 Benchmarks/training/explainability.py [--data DIR] [--model DIR] [--output FILE] [--smoke]

arXiv 2506.01097. Its labels are relevance maps of the model's own right answers on the training split: attention times the
gradient of the answer's logit, positive parts, averaged over heads and carried through the layers. The net has five depthwise
separable convolutions. What the paper leaves open is chosen here: kernels of 3, ReLU, no normalisation, a last pointwise one.
"""
import json
import os
import random
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import needs

needs.packages("numpy", "torch", "PIL", "safetensors", "tokenizers", "transformers")
import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.torch import save_file

import checkpoint
import loop
import vqa_small
from small_llava import keep_memory, rotate

WIDTHS = [32, 64, 128, 256, 512]


class Net(nn.Module):
    """Scores of visual tokens [batch, tokens] from the attention [batch, tokens] that the question's tokens pay them."""

    def __init__(self, tokens):
        super().__init__()
        self.layers = nn.ModuleList(
            nn.ModuleDict({"depthwise": nn.Conv1d(i, i, 3, padding=1, groups=i), "pointwise": nn.Conv1d(i, o, 1)})
            for i, o in zip([1] + WIDTHS, WIDTHS))
        self.output = nn.Conv1d(WIDTHS[-1], 1, 1)
        # Attention is about 1 / tokens: without this the net would take long to see it at all.
        self.layers[0]["depthwise"].weight.data *= tokens

    def forward(self, attention):
        x = attention[:, None]
        for layer in self.layers:
            x = F.relu(layer["pointwise"](layer["depthwise"](x)))
        return self.output(x)[:, 0]


def sequence(model, visual, question):
    """A prompt's rows [batch, n, width] and where its visual tokens lie."""
    text = model.text
    before, behind = text.before, text.after + text.own[question]
    embedded = model.embed(torch.tensor(before + behind)).expand(len(visual), -1, -1)
    x = torch.cat([embedded[:, :len(before)], visual, embedded[:, len(before):]], 1)
    return x, slice(len(before), len(before) + visual.shape[1])


def rotation(model, n):
    half = model.width // model.heads // 2
    angle = torch.arange(n)[:, None] * model.THETA ** (-torch.arange(half) / half)
    return angle.cos(), angle.sin()


def probabilities(layer, x, turn):
    """Attention of one layer [batch, heads, n, n] with its values."""
    b, n, w = x.shape
    q, k, v = layer.qkv(layer.norm1(x)).view(b, n, 3, layer.heads, w // layer.heads).permute(2, 0, 3, 1, 4)
    scores = rotate(q, turn) @ rotate(k, turn).mT / (w // layer.heads) ** 0.5
    scores = scores.masked_fill(torch.ones(n, n).triu(1).bool(), -torch.inf)
    return scores.softmax(-1), v


@torch.no_grad()
def first_attention(model, visual, question):
    """What the net sees: layer 0's attention of the tokens behind the image to its tokens, mean over tokens and heads."""
    x, image = sequence(model, visual, question)
    paid, _ = probabilities(model.layers[0], x, rotation(model, x.shape[1]))
    return paid[:, :, image.stop:, image].mean((1, 2))


def relevance(model, visual, question):
    """Relevance of the visual tokens for the answer [batch, tokens], and the answer's token [batch]."""
    x, image = sequence(model, visual.detach().requires_grad_(), question)
    turn, maps = rotation(model, x.shape[1]), []
    for layer in model.layers:
        paid, v = probabilities(layer, x, turn)
        maps.append(paid)
        x = x + layer.out((paid @ v).transpose(1, 2).reshape(x.shape))
        gate, up = layer.gate_up(layer.norm2(x)).chunk(2, -1)
        x = x + layer.down(F.silu(gate) * up)
    best = model.head(model.norm(x[:, -1])).max(-1)
    slopes = torch.autograd.grad(best.values.sum(), maps)
    # The last row of the product over the layers, (I + M_last) ... (I + M_first).
    row = torch.zeros(len(x), 1, x.shape[1])
    row[..., -1] = 1
    for paid, slope in zip(reversed(maps), reversed(slopes)):
        row = row + row @ F.relu(paid * slope).mean(1)
    return row[:, 0, image].detach(), best.indices


@torch.no_grad()
def answers(model, visual, question):
    """The likeliest token behind the prompt [batch], for whatever visual tokens are left."""
    x, _ = sequence(model, visual, question)
    n = x.shape[1]
    turn, mask = rotation(model, n), torch.ones(n, n).tril().bool()
    for layer in model.layers:
        x = layer(x, turn, mask)
    return model.head(model.norm(x[:, -1])).argmax(-1)


def samples(model, data, images, most):
    """(first attention, relevance) of questions answered rightly; pictures with the same question go together."""
    by_question = {}
    for image in images:
        for question, answer in random.Random(f"labels {image}").sample(
                data.questions["train"][image], min(most, len(data.questions["train"][image]))):
            by_question.setdefault(question, []).append((image, data.token[answer]))
    seen, wanted = [], []
    for question, rows in by_question.items():
        with torch.no_grad():
            visual = features(model, data, "train", [image for image, _ in rows])
        found, answer = relevance(model, visual, question)
        right = answer == torch.tensor([token for _, token in rows])
        seen.append(first_attention(model, visual, question)[right])
        wanted.append(found[right])
    return torch.cat(seen), torch.cat(wanted)


def features(model, data, split, images):
    return model.project(model.tower(vqa_small.normalised(data.pixels[split][images]))[0])


def targets(found):
    """The upper half of every map, with sum 1."""
    floor = found.sort(-1).values[:, found.shape[1] // 2, None]
    kept = torch.where(found >= floor, found, 0)
    return kept / kept.sum(-1, keepdim=True)


@torch.no_grad()
def accuracies(model, net, data, images, counts):
    """Of pictures that no label came from: share of right answers with so many tokens kept by the net, and by lot."""
    right = {(kind, count): 0 for kind in ("net", "random") for count in counts}
    asked = 0
    for image in images:
        visual = features(model, data, "train", [image])
        for question, answer in data.questions["train"][image][:4]:
            asked += 1
            scores = {"net": net(first_attention(model, visual, question))[0], "random": torch.rand(visual.shape[1])}
            for (kind, count) in right:
                kept = scores[kind].topk(count).indices.sort().values
                right[kind, count] += (answers(model, visual[:, kept], question)[0] == data.token[answer]).item()
    return {f"{kind}@{count}": value / asked for (kind, count), value in right.items()}


@torch.no_grad()
def reference(model, net, data, count=16):
    """What the net keeps of a few test questions, those of `vqa_small.reference_questions`: the tokens' indices."""
    rows = []
    for pixels, question, _ in vqa_small.reference_questions(data):
        visual = model.project(model.tower(vqa_small.normalised(pixels[None]))[0])
        scores = net(first_attention(model, visual, question))[0]
        rows.append({"question": question, "kept": scores.topk(count).indices.sort().values.tolist()})
    return rows


def main():
    parser = needs.Parser(description=__doc__.split("\n")[0])
    models = os.path.join(loop.ROOT, "Benchmarks", "models")
    parser.add_argument("--data", help="folder of easy-VQA (default: that of the PyPI package easy-vqa)")
    parser.add_argument("--model", default=os.path.join(models, "vqa-small"))
    parser.add_argument("--output", default=os.path.join(models, "vqa-small-explainability"))
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--smoke", action="store_true")
    arguments = parser.parse_args()
    began = time.monotonic()
    keep_memory()
    torch.manual_seed(0)
    torch.set_num_threads(arguments.threads)
    data = vqa_small.EasyVQA(arguments)
    model = vqa_small.build(data).requires_grad_(False)
    checkpoint.start_from(model, arguments.model)
    labelled, epochs, batch = (20, 2, 16) if arguments.smoke else (1200, 30, 128)
    seen, found = samples(model, data, range(labelled), 2)
    wanted = targets(found)
    print(f"{len(seen)} labels after {time.monotonic() - began:.0f} s", flush=True)
    net = Net(seen.shape[1])
    optimiser = torch.optim.Adam(net.parameters(), 1e-3)
    rows = []
    for epoch in range(epochs):
        total = 0.0
        for group in optimiser.param_groups:
            group["lr"] = 1e-3 * (1 - epoch / epochs)
        for part in torch.randperm(len(seen)).split(batch):
            with torch.autocast("cpu", torch.bfloat16):
                scores = net(seen[part])
            loss = F.kl_div(scores.float().log_softmax(-1), wanted[part], reduction="batchmean")
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += loss.item() * len(part)
        rows.append({"epoch": epoch + 1, "loss": round(total / len(seen), 4), "seconds": round(time.monotonic() - began, 1)})
        print(rows[-1], flush=True)
    for p in net.parameters():
        p.data = p.data.half().float()
    held_back = range(4000 - vqa_small.HELD_BACK, 4000)
    result = {"labels": len(seen), "held_back": accuracies(
        model, net, data, held_back[:10] if arguments.smoke else held_back[:100], [128, 64, 32, 16])}
    print(result, flush=True)
    if arguments.smoke:
        arguments.output = tempfile.mkdtemp()
    os.makedirs(arguments.output, exist_ok=True)
    save_file({name: p.half() for name, p in net.state_dict().items()},
              os.path.join(arguments.output, "explainability.safetensors"))
    with open(os.path.join(arguments.output, "curve.json"), "w") as out:
        json.dump({"curve": rows, "result": result}, out, indent=1)
        out.write("\n")
    with open(os.path.join(arguments.output, "reference.jsonl"), "w") as out:
        out.writelines(json.dumps(row) + "\n" for row in reference(model, net, data))


if __name__ == "__main__":
    main()
