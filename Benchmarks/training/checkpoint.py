"""Writes a trained SmallLlava as transformers publishes LLaVA, and what transformers answers with it."""
import gzip
import io
import json
import os
import shutil
import tarfile

import torch
from PIL import Image
from safetensors.torch import save_file
from tokenizers import Tokenizer
from transformers import (
    AutoModelForImageTextToText, AutoProcessor, CLIPImageProcessor, CLIPVisionConfig, LlamaConfig, LlavaConfig,
    LlavaForConditionalGeneration, LlavaNextConfig, LlavaNextForConditionalGeneration, LlavaNextImageProcessor,
    LlavaNextProcessor, LlavaProcessor, PreTrainedTokenizerFast)

from small_llava import END, START, TEMPLATES


def tensors(model):
    """The model's tensors under the names of transformers' modules, the fused ones apart; all views of the parameters."""
    tower, out = model.tower, {}
    vision = "model.vision_tower."
    out[vision + "embeddings.class_embedding"] = tower.cls
    out[vision + "embeddings.patch_embedding.weight"] = tower.embed.weight.view(-1, 3, tower.patch, tower.patch)
    out[vision + "embeddings.position_embedding.weight"] = tower.position
    parts = [(vision + "pre_layrnorm", tower.pre), (vision + "post_layernorm", tower.post)]
    for i, block in enumerate(tower.blocks):
        name = f"{vision}encoder.layers.{i}."
        parts += [(name + "layer_norm1", block.norm1), (name + "layer_norm2", block.norm2),
                  (name + "self_attn.out_proj", block.out), (name + "mlp.fc1", block.fc1), (name + "mlp.fc2", block.fc2)]
        for kind, weight, bias in zip("qkv", block.qkv.weight.chunk(3), block.qkv.bias.chunk(3)):
            out[f"{name}self_attn.{kind}_proj.weight"], out[f"{name}self_attn.{kind}_proj.bias"] = weight, bias
    projector = "model.multi_modal_projector.linear_"
    parts += [(projector + "1", model.linear1), (projector + "2", model.linear2)]
    text = "model.language_model."
    parts += [(text + "embed_tokens", model.embed), (text + "norm", model.norm), ("lm_head", model.head)]
    for i, layer in enumerate(model.layers):
        name = f"{text}layers.{i}."
        parts += [(name + "input_layernorm", layer.norm1), (name + "post_attention_layernorm", layer.norm2),
                  (name + "self_attn.o_proj", layer.out), (name + "mlp.down_proj", layer.down)]
        for kind, weight in zip("qkv", layer.qkv.weight.chunk(3)):
            out[f"{name}self_attn.{kind}_proj.weight"] = weight
        for kind, weight in zip(("gate", "up"), layer.gate_up.weight.chunk(2)):
            out[f"{name}mlp.{kind}_proj.weight"] = weight
    for name, part in parts:
        out[name + ".weight"] = part.weight
        if getattr(part, "bias", None) is not None:
            out[name + ".bias"] = part.bias
    if model.newline is not None:
        out["model.image_newline"] = model.newline
    return {name: tensor.detach() for name, tensor in out.items()}


def published(model):
    """The same under the names of published files, for layouts that transformers does not write."""
    return {name.replace("model.language_model.", "language_model.model.").replace("lm_head", "language_model.lm_head")
            .removeprefix("model."): tensor for name, tensor in tensors(model).items()}


def write_own(source, folder, settings, weights):
    """A checkpoint of a layout that transformers does not know: `source`'s files with other settings, F16 weights."""
    with open(os.path.join(source, "config.json")) as file:
        config = json.load(file)
    config |= settings
    with open(os.path.join(folder, "config.json"), "w") as out:
        json.dump(config, out, indent=1)
        out.write("\n")
    save_file({name: t.detach().half().contiguous() for name, t in weights.items()},
              os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})
    for name in ("tokenizer.json", "tokenizer_config.json", "processor_config.json", "generation_config.json"):
        shutil.copy(os.path.join(source, name), folder)


@torch.no_grad()
def start_from(model, folder):
    """Weights of a smaller checkpoint: the middle of its grid of positions, the rows of the words that both know."""
    theirs = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).state_dict()
    words = Tokenizer.from_file(os.path.join(folder, "tokenizer.json")).get_vocab()
    grid = model.tower.grid
    for name, tensor in tensors(model).items():
        source = theirs.get(name)
        if name in ("model.language_model.embed_tokens.weight", "lm_head.weight"):
            for word, row in model.text.tokenizer.get_vocab().items():
                if word in words:
                    tensor[row] = source[words[word]]
        elif name.endswith("position_embedding.weight"):
            side = round(len(source[1:]) ** 0.5)
            at = (side - grid) // 2
            middle = source[1:].view(side, side, -1)[at:at + grid, at:at + grid]
            tensor.copy_(torch.cat([source[:1], middle.flatten(0, 1)]))
        elif source is not None:
            tensor.copy_(source)


def write(model, folder, mean, deviation, pinpoints=None):
    """Model, tokenizer and processor, readable with `from_pretrained`. F16."""
    text, tower = model.text, model.tower
    shape = {
        "vision_config": CLIPVisionConfig(
            hidden_size=tower.cls.numel(), intermediate_size=4 * tower.cls.numel(), num_hidden_layers=len(tower.blocks),
            num_attention_heads=tower.blocks[0].heads, image_size=tower.side, patch_size=tower.patch,
            projection_dim=tower.cls.numel()),
        "text_config": LlamaConfig(
            hidden_size=model.width, intermediate_size=model.hidden, num_hidden_layers=len(model.layers),
            num_attention_heads=model.heads, vocab_size=text.size, max_position_embeddings=1024,
            rms_norm_eps=model.EPSILON, bos_token_id=START, eos_token_id=END, pad_token_id=text.pad),
        "image_token_index": text.image, "image_seq_length": tower.grid ** 2, "vision_feature_layer": -2,
        "vision_feature_select_strategy": "default", "projector_hidden_act": "gelu",
    }
    processing = {
        "do_resize": True, "size": {"shortest_edge": tower.side}, "resample": 3, "do_center_crop": True,
        "crop_size": {"height": tower.side, "width": tower.side}, "do_rescale": True, "rescale_factor": 1 / 255,
        "do_normalize": True, "image_mean": list(mean), "image_std": list(deviation),
    }
    if pinpoints is None:
        theirs = LlavaForConditionalGeneration(LlavaConfig(**shape))
        images, processor = CLIPImageProcessor(**processing), LlavaProcessor
    else:
        theirs = LlavaNextForConditionalGeneration(LlavaNextConfig(image_grid_pinpoints=pinpoints, **shape))
        images = LlavaNextImageProcessor(image_grid_pinpoints=pinpoints, **processing)
        processor = LlavaNextProcessor
    theirs.load_state_dict(tensors(model))
    theirs.generation_config.update(bos_token_id=START, eos_token_id=END, pad_token_id=text.pad)
    theirs.half().save_pretrained(folder)
    with open(os.path.join(folder, "tokenizer.json"), "w") as out:
        json.dump(text.json, out, ensure_ascii=False, indent=1)
        out.write("\n")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=os.path.join(folder, "tokenizer.json"), bos_token="<s>", eos_token="</s>", unk_token="<unk>",
        pad_token="<pad>", extra_special_tokens={"image_token": "<image>"})
    processor(image_processor=images, tokenizer=tokenizer, patch_size=tower.patch,
              vision_feature_select_strategy="default", num_additional_image_tokens=1).save_pretrained(folder)


@torch.no_grad()
def reference(folder, questions, ours, processor=None):
    """What transformers makes of a few questions, written below the model. Fails if the training saw other prompts or
    pictures.

    `questions`: (pixels [3, height, width], question, answer); `ours`: the trained model's logits for one of them; `processor`:
    where transformers cannot make it from the folder by itself.
    """
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
    processor = processor or AutoProcessor.from_pretrained(folder)
    rows, logits = [], []
    for pixels, question, answer in questions:
        prompt = TEMPLATES[model.config.model_type].replace("{prompt}", question)
        inputs = processor(images=picture(pixels), text=prompt, return_tensors="pt")
        logits.append(model(**inputs).logits[0, -1])
        assert (logits[-1] - ours(pixels, question, answer)).abs().max() < 1e-3, "training and transformers differ"
        said = model.generate(**inputs, max_new_tokens=8, do_sample=False)[0, inputs["input_ids"].shape[1]:]
        rows.append((pixels, question, answer, processor.tokenizer.decode(said, skip_special_tokens=True).strip()))
    write_reference(folder, rows, logits)


def write_reference(folder, rows, logits):
    """Pictures, questions.jsonl and logits.safetensors (`logits`, behind each prompt [questions, vocabulary]) in
    FOLDER/reference. `rows`: (pixels, question, answer, what the model says)."""
    below = os.path.join(folder, "reference")
    os.makedirs(below, exist_ok=True)
    save_file({"logits": torch.stack(logits)}, os.path.join(below, "logits.safetensors"))
    with open(os.path.join(below, "questions.jsonl"), "w") as out:
        for number, (pixels, question, answer, said) in enumerate(rows):
            picture(pixels).save(os.path.join(below, f"{number}.png"))
            row = {"image": f"{number}.png", "question": question, "answers": [answer], "metric": "exact", "generated": said}
            out.write(json.dumps(row) + "\n")


def picture(pixels):
    return Image.fromarray(pixels.permute(1, 2, 0).numpy())


def write_questions(path, items):
    """test.jsonl and test/*.png in one archive, the same bytes for the same images.

    items: RGB [height, width, 3], and (kind, question, answer) about it.
    """
    files, rows = [], []
    for number, (rgb, asked) in enumerate(items):
        image = io.BytesIO()
        Image.fromarray(rgb).save(image, "PNG", optimize=True)
        files.append((f"test/{number}.png", image.getvalue()))
        rows += [json.dumps({"image": f"test/{number}.png", "question": question, "answers": [answer], "metric": "exact",
                             "group": kind}) + "\n" for kind, question, answer in asked]
    with gzip.GzipFile(path, "wb", mtime=0) as packed, tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in [("test.jsonl", "".join(rows).encode())] + files:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
