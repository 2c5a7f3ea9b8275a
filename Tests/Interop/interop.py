#!/usr/bin/env python3
"""Makes a small model of every vision-language family with today's transformers, random weights, and compares greedy answers.

    make interop                                (its Python packages go into .build/training)
    python3 Tests/Interop/interop.py [FAMILY...] [--vtok PROGRAM] [--keep DIR] [--seed N]

Every directory is written by `save_pretrained`. vtok must inspect it, prune an image with it, and answer a question about the
image with the token ids that transformers gives, at most 16. One line a family; the exit status is 1 where one differs.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ["HF_HUB_OFFLINE"] = "1"

import families
import numpy as np
import torch
import transformers
from PIL import Image

transformers.utils.logging.disable_progress_bar()

PROMPT = "what is in this image?"
NEW_TOKENS = 16


def image(path, width, height, seed):
    """Smooth colours with some edges: what a processor does to it can be seen in its pixels."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(path)


def weights(model, seed):
    """Random weights that tell layers apart: norms near one, biases that count, products that keep their scale."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if "norm" in name and name.endswith("weight"):
                parameter.copy_(parameter + 0.1 * noise)
            elif parameter.ndim < 2:
                parameter.copy_(parameter + 0.05 * noise)
            else:
                fan = parameter[0].numel()
                parameter.copy_(noise * (1.2 / fan**0.5))
    return model.float().eval()


def reference(processor, model, path):
    message = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": PROMPT}]}
    text = processor.tokenizer.apply_chat_template(
        [message], chat_template=processor.chat_template, add_generation_prompt=True, tokenize=False)
    inputs = processor(text=[text], images=[Image.open(path).convert("RGB")], return_tensors="pt")
    with torch.no_grad():
        ids = model.generate(**inputs, max_new_tokens=NEW_TOKENS, do_sample=False)
    return ids[0, inputs["input_ids"].shape[1]:].tolist()


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr.strip().splitlines()[-1:] or [""]


def check(name, folder, program, seed):
    """A line about one family, and whether all of it held."""
    size = families.IMAGE_SIZES[seed % len(families.IMAGE_SIZES)]
    picture = folder / "image.png"
    image(picture, *size, seed)
    torch.manual_seed(seed)
    processor, model = families.make(name)
    weights(model, seed)
    directory = folder / name
    model.save_pretrained(directory)
    families.save(processor, directory)
    expected = reference(processor, model, picture)

    faults = []
    code, _, error = run(program, "inspect", directory)
    if code != 0:
        faults.append(f"inspect: {error[0]}")
    code, out, error = run(
        program, "generate", "--model", directory, "--image", picture, "--prompt", PROMPT, "--max-tokens", str(NEW_TOKENS),
        "--format", "json", "--quiet")
    if code == 0:
        answer = json.loads(out)
        ids = (answer[0] if isinstance(answer, list) else answer)["ids"]
        same = sum(1 for _ in equal(ids, expected))
        if ids != expected:
            faults.append(f"ids {ids} instead of {expected}")
    else:
        same = 0
        faults.append(f"generate: {error[0]}")
    code, _, error = run(
        program, "prune", picture, "--model", directory, "--method", "divprune", "--keep-ratio", "0.5",
        "-o", folder / f"{name}-out", "--quiet")
    if code != 0:
        faults.append(f"prune: {error[0]}")
    kind = "ok" if not faults else "DIFFERS"
    line = f"{name:18} {size[0]}x{size[1]:<5} {same:2} of {len(expected):2} ids  {kind}"
    return line + "".join(f"\n    {fault}" for fault in faults), not faults


def equal(found, expected):
    for a, b in zip(found, expected):
        if a != b:
            return
        yield a


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("families", nargs="*", metavar="FAMILY", help=", ".join(families.NAMES))
    parser.add_argument("--vtok", default=".build/release/vtok", help="the program (default: .build/release/vtok)")
    parser.add_argument("--keep", metavar="DIR", help="leave the models there")
    parser.add_argument("--seed", type=int, default=0, help="of weights and image")
    arguments = parser.parse_args()
    unknown = set(arguments.families) - set(families.NAMES)
    if unknown:
        parser.error(f"no family {', '.join(sorted(unknown))}; there are {', '.join(families.NAMES)}")
    if not os.access(arguments.vtok, os.X_OK):
        parser.error(f"no program at {arguments.vtok}: make it with 'make build', or name one with --vtok")
    held = True
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(arguments.keep or temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for name in arguments.families or families.NAMES:
            line, good = check(name, folder, arguments.vtok, arguments.seed)
            print(line, flush=True)
            held = held and good
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
