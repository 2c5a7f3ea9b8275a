#!/usr/bin/env python3
"""Makes the golden cases of videos: what transformers answers to frames, on tiny checkpoints that are here already.

usage: video.py    (with torch, transformers and safetensors: those of Benchmarks/training/requirements.txt)
"""
import json
import pathlib

import torch
import transformers
from safetensors.torch import save_file

CASES = pathlib.Path(__file__).parent / "Cases"


def make(folder, name, checkpoint, grid, seed, told, seconds):
    """A video of `grid` pairs of frames, rows and columns of patches behind two words, and three words about it."""
    directory = CASES / folder / checkpoint
    model = transformers.AutoModelForImageTextToText.from_pretrained(
        directory, dtype=torch.float32, attn_implementation="eager").eval()
    config = model.config
    generator = torch.Generator().manual_seed(seed)
    vision = config.vision_config
    width = 3 * vision.temporal_patch_size * vision.patch_size**2
    time, rows, columns = grid
    pixels = torch.randn(time * rows * columns, width, generator=generator)
    merge = vision.spatial_merge_size
    cells = rows * columns // merge**2
    video = config.video_token_id
    start = getattr(config, "vision_start_token_id", 5)
    words = [3, 7]
    ids = list(words) + [start]
    if told:  # a time in words before every pair of frames, with marks around it
        for pair in range(time):
            ids += [10 + pair, 6, start] + [video] * cells + [config.vision_end_token_id]
    else:
        ids += [video] * (cells * time)
    ids += [9, 4, 8]
    inputs = dict(
        input_ids=torch.tensor([ids]), pixel_values_videos=pixels, video_grid_thw=torch.tensor([grid]),
        mm_token_type_ids=torch.tensor([[2 if token == video else 0 for token in ids]]))
    if not told:
        inputs["second_per_grid_ts"] = [seconds]
    with torch.no_grad():
        rope = {key: value for key, value in inputs.items() if key not in ("pixel_values_videos",)}
        positions, _ = model.model.get_rope_index(**rope)
        logits = model(**inputs).logits[0]
        made = model.generate(**inputs, max_new_tokens=8, do_sample=False, eos_token_id=None)[0, len(ids):]
        features = model.model.get_video_features(pixels, torch.tensor([grid]))
        features = getattr(features, "pooler_output", features)
        features = torch.cat(list(features[0] if isinstance(features[0], (list, tuple)) else features))
    tensors = {
        "in.input_ids": torch.tensor(ids), "in.pixel_values_videos": pixels, "in.video_grid_thw": torch.tensor([grid]),
        "out.position_ids_3d": positions[:, 0], "out.logits": logits, "out.generated_ids": made, "out.video_features": features}
    tensors = {key: value.contiguous() for key, value in tensors.items()}
    save_file(tensors, CASES / folder / f"{name}.safetensors")

    def entry(key, **more):
        value = tensors[key]
        return {"tensor": key, "shape": list(value.shape), "dtype": str(value.dtype).removeprefix("torch.")} | more

    exact, near = {"compare": "exact"}, {"compare": "allclose", "atol": 3e-4, "rtol": 1e-3}
    manifest = {
        "schema": "vtok-golden/1", "method": "lvlm", "case": name, "function": "lvlm.video_forward",
        "ran": {"what": f"transformers {transformers.__version__}, torch {torch.__version__}, attn_implementation=eager, float32"},
        "seed": seed, "config": {"checkpoint_dir": checkpoint, "max_new_tokens": 8, "second_per_grid": seconds},
        "file": f"{name}.safetensors",
        "inputs": {key.removeprefix("in."): entry(key) for key in tensors if key.startswith("in.")},
        "outputs": {
            "position_ids_3d": entry("out.position_ids_3d", **exact), "generated_ids": entry("out.generated_ids", **exact),
            "logits": entry("out.logits", **near), "video_features": entry("out.video_features", **near)},
        "notes": "The video's placeholder stands in input_ids once for every visual token."}
    (CASES / folder / f"{name}.json").write_text(json.dumps(manifest) + "\n")
    print(name, made.tolist(), positions.max().item())


make("lvlm", "qwen25vl-video-a", "qwen25vl-tiny-a", [3, 6, 10], 3301, told=False, seconds=1.25)
make("lvlm", "qwen25vl-video-b", "qwen25vl-tiny-a", [4, 4, 4], 3302, told=False, seconds=0.3)
make("lvlm", "qwen3vl-video-a", "qwen3vl-tiny-a", [3, 4, 6], 3303, told=True, seconds=1)
