"""Writes a trained SmallQwen3VL as transformers publishes Qwen3-VL, and reads it back."""
import json
import os

import torch
from safetensors.torch import load_file
from transformers import (
    PreTrainedTokenizerFast, Qwen2VLImageProcessorPil, Qwen3VLConfig, Qwen3VLForConditionalGeneration, Qwen3VLProcessor)
from transformers.processing_utils import ProcessorMixin

MEAN, DEVIATION = 0.5, 0.5


def parts(model):
    """The modules under the names of transformers', but for those whose matrices are cut."""
    tower, vision = model.tower, "model.visual."
    out = [(vision + "patch_embed.proj", tower.embed)]
    for i, block in enumerate(tower.blocks):
        name = f"{vision}blocks.{i}."
        out += [(name + "norm1", block.norm1), (name + "norm2", block.norm2), (name + "attn.qkv", block.qkv),
                (name + "attn.proj", block.out), (name + "mlp.linear_fc1", block.fc1), (name + "mlp.linear_fc2", block.fc2)]
    mergers = [(vision + "merger.", tower.merger)]
    mergers += [(f"{vision}deepstack_merger_list.{k}.", merger) for k, merger in enumerate(tower.mergers)]
    for name, merger in mergers:
        out += [(name + "norm", merger.norm), (name + "linear_fc1", merger.fc1), (name + "linear_fc2", merger.fc2)]
    text = "model.language_model."
    out += [(text + "embed_tokens", model.embed), (text + "norm", model.norm), ("lm_head", model.head)]
    for i, layer in enumerate(model.layers):
        name = f"{text}layers.{i}."
        out += [(name + "input_layernorm", layer.norm1), (name + "post_attention_layernorm", layer.norm2),
                (name + "mlp.down_proj", layer.down)]
        out += [(f"{name}self_attn.{theirs}", part) for theirs, part in (
            ("q_proj", layer.q), ("k_proj", layer.k), ("v_proj", layer.v), ("o_proj", layer.out), ("q_norm", layer.q_norm),
            ("k_norm", layer.k_norm))]
    return out


def tensors(model):
    """All that is written, as new tensors. The two frames of an image are equal, so each has half of the patch's weights."""
    out = {name + "." + kind: p for name, part in parts(model) for kind, p in part.named_parameters()}
    out["model.visual.pos_embed.weight"] = model.tower.position
    name, patch = "model.visual.patch_embed.proj.weight", model.tower.patch
    out[name] = (out[name] / 2).view(-1, 3, 1, patch, patch).expand(-1, -1, 2, -1, -1)
    for i, layer in enumerate(model.layers):
        for kind, weight in zip(("gate", "up"), layer.gate_up.weight.chunk(2)):
            out[f"model.language_model.layers.{i}.mlp.{kind}_proj.weight"] = weight
    return {name: tensor.detach().clone() for name, tensor in out.items()}


@torch.no_grad()
def start_from(model, folder):
    """Weights of an earlier checkpoint of the same shape."""
    theirs = {name: tensor.float() for name, tensor in load_file(os.path.join(folder, "model.safetensors")).items()}
    for name, part in parts(model):
        for kind, p in part.named_parameters():
            source = theirs[f"{name}.{kind}"]
            p.copy_(source.sum(2).flatten(1) if source.dim() == 5 else source)
    model.tower.position.copy_(theirs["model.visual.pos_embed.weight"])
    for i, layer in enumerate(model.layers):
        name = f"model.language_model.layers.{i}.mlp."
        layer.gate_up.weight.copy_(torch.cat([theirs[f"{name}{kind}_proj.weight"] for kind in ("gate", "up")]))


def processor(folder):
    """Its parts as they lie in a folder, without one for videos: that needs torchvision."""
    check = ProcessorMixin.check_argument_for_proper_class
    ProcessorMixin.check_argument_for_proper_class = lambda self, name, value: None if value is None else check(self, name, value)
    return Qwen3VLProcessor(
        Qwen2VLImageProcessorPil.from_pretrained(folder), PreTrainedTokenizerFast.from_pretrained(folder), None)


def write(model, folder, most):
    """Model, tokenizer and processor, readable with `from_pretrained`. F16. `most`: pixels of the largest image that stays as
    it is."""
    text, tower = model.text, model.tower
    token = text.tokenizer.token_to_id
    layer, block = model.layers[0], tower.blocks[0]
    theirs = Qwen3VLForConditionalGeneration(Qwen3VLConfig(
        vision_config={
            "depth": len(tower.blocks), "hidden_size": block.out.in_features, "intermediate_size": block.fc1.out_features,
            "num_heads": block.heads, "patch_size": tower.patch, "out_hidden_size": model.width,
            "num_position_embeddings": tower.side ** 2, "deepstack_visual_indexes": list(tower.stacked)},
        text_config={
            "hidden_size": model.width, "intermediate_size": model.hidden, "num_hidden_layers": len(model.layers),
            "num_attention_heads": layer.heads, "num_key_value_heads": layer.shared, "head_dim": layer.head,
            "vocab_size": text.size, "max_position_embeddings": 1024, "rms_norm_eps": model.EPSILON,
            "bos_token_id": None, "eos_token_id": text.end, "pad_token_id": text.pad,
            "rope_parameters": {"rope_type": "default", "rope_theta": model.THETA, "mrope_section": model.SECTIONS,
                                "mrope_interleaved": True}},
        image_token_id=text.image, video_token_id=token("<|video_pad|>"), vision_start_token_id=token("<|vision_start|>"),
        vision_end_token_id=token("<|vision_end|>"), tie_word_embeddings=False))
    theirs.load_state_dict(tensors(model))
    theirs.generation_config.update(bos_token_id=None, eos_token_id=text.end, pad_token_id=text.pad)
    theirs.half().save_pretrained(folder)
    with open(os.path.join(folder, "tokenizer.json"), "w") as out:
        json.dump(text.json, out, ensure_ascii=False, indent=1)
        out.write("\n")
    PreTrainedTokenizerFast(
        tokenizer_file=os.path.join(folder, "tokenizer.json"), eos_token="<|im_end|>", pad_token="<|endoftext|>",
        extra_special_tokens={"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"}).save_pretrained(folder)
    cell = 2 * tower.patch
    images = Qwen2VLImageProcessorPil(
        patch_size=tower.patch, merge_size=2, temporal_patch_size=2, image_mean=[MEAN] * 3, image_std=[DEVIATION] * 3,
        size={"shortest_edge": 4 * cell * cell, "longest_edge": most})
    with open(os.path.join(folder, "processor_config.json"), "w") as out:
        json.dump({"image_processor": json.loads(images.to_json_string()), "processor_class": "Qwen3VLProcessor"}, out, indent=1)
        out.write("\n")
