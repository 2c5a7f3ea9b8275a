"""The training loop: rates, a curve, a state to go on from. What is trained and on what is the recipe's affair."""
import collections
import csv
import json
import os
import random
import tempfile
import time

import torch
import torch.nn.functional as F

from small_llava import IGNORED, keep_memory

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


def add_options(parser, name):
    parser.add_argument("--output", help=f"default: Benchmarks/models/{name}, or a temporary folder with --smoke")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="on busy cores one is the fastest")
    parser.add_argument("--stop", type=int, default=0, help="stop at this step; the next run goes on from there")
    parser.add_argument("--smoke", action="store_true", help="a few steps over a few pictures, through to the files")


def start(arguments, name):
    if arguments.smoke and not arguments.output:
        arguments.output = tempfile.mkdtemp(prefix=name)
    arguments.output = arguments.output or os.path.join(ROOT, "Benchmarks", "models", name)
    os.makedirs(arguments.output, exist_ok=True)
    keep_memory()
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(arguments.threads)


def train(arguments, model, optimisers, total, loss_of, evaluate, warm=100, every=25, evaluate_every=200, join=None):
    """Runs to step `total` and returns the curve, or nil when told to stop before.

    `loss_of(step, draw)`: the loss and what the curve tells of it; `draw` and torch's generator depend on seed and step.
    The rate rises over `warm` steps, is flat, and falls to nothing over the last 60%. `join(told)` is called behind the backward
    pass: to add gradients that others computed.
    """
    rates = [[group["lr"] for group in o.param_groups] for o in optimisers]
    file = os.path.join(arguments.output, "training.pt")
    step, seconds, rows = 0, 0.0, []
    if os.path.exists(file):
        state = torch.load(file, weights_only=True)
        model.load_state_dict(state["model"])
        for o, saved in zip(optimisers, state["optimisers"]):
            o.load_state_dict(saved)
        step, seconds, rows = state["step"], state["seconds"], state["rows"]
    saved_at, began = time.monotonic(), time.monotonic() - seconds
    sums = collections.Counter()
    while step < total:
        draw = random.Random(f"{arguments.seed} {step}")
        torch.manual_seed(draw.randrange(1 << 30))
        rate = min((step + 1) / warm, 1, (total - step) / (0.6 * total))
        for o, first in zip(optimisers, rates):
            for group, lr in zip(o.param_groups, first):
                group["lr"] = lr * rate
        loss, told = loss_of(step, draw)
        loss.backward()
        if join:
            told = join(told)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for o in optimisers:
            o.step()
            o.zero_grad(set_to_none=True)
        for key, value in told.items():
            sums[key] += value.item() if torch.is_tensor(value) else value
        sums["n"] += 1
        step += 1
        if step % every == 0 or step == total:
            n = sums.pop("n")
            row = {"step": step, "seconds": round(time.monotonic() - began, 1)}
            row.update((key, round(value / n, 4)) for key, value in sums.items())
            sums.clear()
            if step % evaluate_every == 0 or step == total:
                row.update((key, round(value, 4)) for key, value in evaluate().items())
            rows.append(row)
            print(row, flush=True)
        stop = arguments.stop and step >= arguments.stop
        if not arguments.smoke and (stop or step == total or step % every == 0 and time.monotonic() - saved_at > 240):
            state = {"model": model.state_dict(), "optimisers": [o.state_dict() for o in optimisers], "step": step,
                     "seconds": time.monotonic() - began, "rows": rows}
            torch.save(state, file + ".part")
            os.replace(file + ".part", file)
            saved_at = time.monotonic()
        if stop:
            return None
    return rows


def answer_loss(logits, targets):
    """Cross entropy of the answers, and a tenth of that of the ends behind them; and how many answers are right."""
    losses = F.cross_entropy(logits.float().transpose(1, 2), targets, ignore_index=IGNORED, reduction="none")
    weight = torch.tensor([1, 0.1]).repeat(targets.shape[1] // 2)
    answers = targets[:, ::2]
    count = (answers != IGNORED).sum()
    right = ((logits[:, ::2].argmax(-1) == answers) & (answers != IGNORED)).sum() / count
    return (losses * weight).sum() / count, right


def scored(logits, targets):
    """Per question [pictures, questions]: asked at all, and answered right, with the end behind the answer."""
    right = (logits.argmax(-1) == targets).view(len(targets), -1, 2).all(-1)
    asked = targets[:, ::2] != IGNORED
    return asked, right & asked


def finish(arguments, rows, result):
    """The curve and the result as files; the state to go on from is not needed any more."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with open(os.path.join(arguments.output, "curve.csv"), "w") as out:
        table = csv.DictWriter(out, columns, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    result |= {"steps": rows[-1]["step"], "seconds": rows[-1]["seconds"], "seed": arguments.seed}
    with open(os.path.join(arguments.output, "result.json"), "w") as out:
        json.dump(result, out, indent=1)
        out.write("\n")
    print(result, flush=True)
    state = os.path.join(arguments.output, "training.pt")
    if os.path.exists(state):
        os.remove(state)
