#!/usr/bin/env python3
"""A FlexTok checkpoint of a published size with random weights, laid out as the published ones are.

usage: python3 Benchmarks/flextok-random.py FOLDER [--encoder 12] [--decoder 12] [--seed 0]

Writes FOLDER/model.safetensors (d12_d12: 341,651,737 parameters, 1.37 GB), whose header holds the configuration as Python
literals, and FOLDER/config.json. For loading and speed; what it decodes is noise. Needs numpy.
"""
import argparse
import json
import math
import os
import struct

import needs

needs.packages("numpy")
import numpy

PRE, POST, UTILS = "flextok.model.preprocessors", "flextok.model.postprocessors", "flextok.model.utils"
CHANNELS, PATCH, GRID, REGISTERS = 16, 2, 16, 256
LEVELS = [8, 8, 8, 5, 5, 5]
VAE_WIDTHS = [128, 256, 512, 512]


def module(target, **keys):
    return {"_target_": target, **keys}


def patches(prefix, read, write, width):
    """Channels last, patches, positions on the grid."""
    return {
        f"{prefix}channels_to_last": module(f"{UTILS}.dict_ops.PerSampleOp", read_key=read, write_key=read + "_bhwc",
                                            per_sample_op=module(f"{UTILS}.dict_ops.channels_first_to_last", _partial_=True)),
        f"{prefix}patch_emb": module(f"{PRE}.patching.PatchEmbedder", input_tensor_list_read_key=read + "_bhwc",
                                     patches_list_write_key=write, n_patches_write_key=write + "_n", channels_in=CHANNELS,
                                     dim=width, patch_sizes=[PATCH, PATCH], flatten_patches=False),
    }


def positions(read, write, width, sizes, kind):
    return module(f"{UTILS}.posembs.PositionalEmbeddingAdder", read_key=read, write_key=write, dim=width, max_sizes=sizes,
                  posemb_type=kind, posemb_scaling="absolute")


def packer(first, second, mask, prefix, **keys):
    return module(f"{PRE}.flex_seq_packing.BlockWiseSequencePacker", input_list_read_keys=[first, second],
                  packed_seq_write_key=prefix + "_packed_seq", block_mask_write_key=prefix + "_block_mask",
                  inner_packed_shapes_write_key=prefix + "_ps_inner", outer_packed_shapes_write_key=prefix + "_ps_outer",
                  mask_mode=mask, pad_to_multiple=128, **keys)


def unpacker(first, second, prefix):
    return module(f"{POST}.seq_unpacking.SequenceUnpacker", packed_seq_read_key=prefix + "_packed_seq",
                  inner_seq_write_keys=[first, second], inner_packed_shapes_read_key=prefix + "_ps_inner",
                  outer_packed_shapes_read_key=prefix + "_ps_outer")


def transformer(width, depth, prefix, **keys):
    return module("flextok.model.trunks.transformers.FlexTransformer", input_seq_read_key=prefix + "_packed_seq",
                  output_seq_write_key=prefix + "_packed_seq", dim=width, depth=depth, head_dim=64,
                  block_mask_read_key=prefix + "_block_mask", use_act_checkpoint=True, **keys)


def configuration(encoder, decoder):
    enc, dec = 64 * encoder, 64 * decoder
    wrapper = f"{UTILS}.wrappers.SequentialModuleDictWrapper"
    encoder_modules = {
        **patches("enc_", "vae_latents", "enc_vae_latents_patched", enc),
        "enc_posemb_module": positions("enc_vae_latents_patched", "enc_vae_latents_patched", enc, [GRID, GRID], "sincos"),
        "enc_register_module": module(f"{PRE}.registers.Registers1D", input_tensor_list_read_key="enc_vae_latents_patched",
                                      register_sizes_read_write_key="register_sizes", registers_write_key="enc_registers",
                                      dim=enc, n_min=REGISTERS, n_max=REGISTERS, size_sampling_mode="uniform",
                                      ordering_mode="nested"),
        "enc_seq_packer": packer("enc_vae_latents_patched", "enc_registers", "causal_last", "enc"),
        "enc_transformer": transformer(enc, encoder, "enc"),
        "enc_unpacker": unpacker("enc_vae_latents_patched", "enc_registers", "enc"),
        "enc_to_latents": module(f"{POST}.heads.LinearHead", read_key="enc_registers", write_key="enc_registers", dim=enc,
                                 dim_out=len(LEVELS), use_mup_readout=False, weight_init_style="zero", dtype_override=None),
    }
    decoder_modules = {
        "dec_from_latents": module(f"{PRE}.linear.LinearLayer", read_key="enc_registers_quant", write_key="dec_registers_proj",
                                   dim_in=len(LEVELS), dim=dec),
        "dec_registers_posemb_module": positions("dec_registers_proj", "dec_registers_proj", dec, [REGISTERS], "learnable_sum"),
        "dec_nested_dropout": module(f"{PRE}.token_dropout.MaskedNestedDropout", read_write_key="dec_registers_proj", dim=dec,
                                     size_sampling_mode="uniform_pow2"),
        "dec_latent_dropout": module(f"{PRE}.nullcond.LearnedNullCond", read_write_key="dec_registers_proj", dim=dec,
                                     dropout_prob=0.2),
        **patches("dec_noise_", "vae_latents_noised", "vae_latents_noised_patched", dec),
        "dec_patches_posemb_module": positions("vae_latents_noised_patched", "dec_patches", dec, [GRID, GRID], "sincos"),
        "dec_seq_packer": packer("dec_patches", "dec_registers_proj", "full", "dec", per_subseq_embs=True,
                                 emb_packing_fn_write_key="emb_packing_fn"),
        "dec_time_embedder": module(f"{PRE}.time_embedding.TimestepEmbedder", timesteps_read_key="timesteps",
                                    time_embedding_write_key="dec_temb", dim=dec, frequency_embedding_size=256, max_timestep=1.0),
        "dec_transformer": transformer(dec, decoder, "dec", adaLN_emb_read_key="dec_temb",
                                       adaLN_packing_fn_read_key="emb_packing_fn", adaLN_expansion=2),
        "dec_unpacker": unpacker("dec_patches", "dec_registers_proj", "dec"),
        "dec_to_patches": module(f"{POST}.heads.ToPatchesLinearHead", read_key="dec_patches", write_key="vae_latents_reconst_bhwc",
                                 dim=dec, channels_out=CHANNELS, patch_sizes=[PATCH, PATCH], use_mup_readout=False,
                                 weight_init_style="zero", adaLN_emb_read_key="dec_temb"),
        "dec_channels_to_first": module(f"{UTILS}.dict_ops.PerSampleOp", read_key="vae_latents_reconst_bhwc",
                                        write_key="vae_latents_reconst",
                                        per_sample_op=module(f"{UTILS}.dict_ops.channels_last_to_first", _partial_=True)),
    }
    return {
        "_target_": "flextok.flextok_wrapper.FlexTok",
        "vae": module("flextok.vae_wrapper.StableDiffusionVAE", images_read_key="rgb", vae_latents_read_key="vae_latents_reconst",
                      vae_latents_write_key="vae_latents", images_reconst_write_key="rgb_reconst", latent_channels=CHANNELS,
                      scaling_factor=0.5, dtype_override="fp32", sample_posterior=False, force_vae_encode=False, frozen=True),
        "encoder": module(wrapper, module_dict=encoder_modules),
        "decoder": module(wrapper, module_dict=decoder_modules),
        "regularizer": module("flextok.regularizers.quantize_fsq.FSQ", latents_read_key="enc_registers",
                              quants_write_key="enc_registers_quant", tokens_write_key="tokens", levels=LEVELS,
                              drop_quant_p=0.0, packed_call=False),
        "flow_matching_noise_module": module("flextok.flow_matching.noise_modules.MinRFNoiseModule",
                                             clean_images_read_key="vae_latents", noised_images_write_key="vae_latents_noised",
                                             timesteps_write_key="timesteps", sigmas_write_key="sigmas", ln=False,
                                             stratisfied=False, mode_scale=0.25),
        "pipeline": module("flextok.flow_matching.pipelines.MinRFPipeline", _partial_=True, noise_read_key=None,
                           target_sizes_read_key=None, latents_read_key="enc_registers_quant", timesteps_read_key="timesteps",
                           noised_images_read_key="vae_latents_noised", reconst_write_key="vae_latents_reconst",
                           out_channels=CHANNELS),
    }


class Shapes(dict):
    """Tensor names with their shapes; weights of a layer with a bias, of a norm, and so on."""

    def layer(self, name, *shape, bias=True):
        self[name + ".weight"] = shape
        if bias:
            self[name + ".bias"] = shape[:1]

    def norm(self, name, width):
        self[name + ".weight"] = self[name + ".bias"] = (width,)

    def residual(self, name, inputs, outputs):
        self.norm(name + ".norm1", inputs)
        self.layer(name + ".conv1", outputs, inputs, 3, 3)
        self.norm(name + ".norm2", outputs)
        self.layer(name + ".conv2", outputs, outputs, 3, 3)
        if inputs != outputs:
            self.layer(name + ".conv_shortcut", outputs, inputs, 1, 1)

    def middle(self, name, width):
        self.residual(name + ".resnets.0", width, width)
        self.norm(name + ".attentions.0.group_norm", width)
        for part in ("to_q", "to_k", "to_v", "to_out.0"):
            self.layer(f"{name}.attentions.0.{part}", width, width)
        self.residual(name + ".resnets.1", width, width)

    def autoencoder(self, name):
        widths = VAE_WIDTHS
        for side, levels, blocks in (("encoder", widths, 2), ("decoder", widths[::-1], 3)):
            width = levels[0]
            self.layer(f"{name}.{side}.conv_in", width, 3 if side == "encoder" else CHANNELS, 3, 3)
            if side == "decoder":
                self.middle(f"{name}.{side}.mid_block", width)
            kind, resize = ("down_blocks", "downsamplers") if side == "encoder" else ("up_blocks", "upsamplers")
            for i, outputs in enumerate(levels):
                for j in range(blocks):
                    self.residual(f"{name}.{side}.{kind}.{i}.resnets.{j}", width, outputs)
                    width = outputs
                if i < len(levels) - 1:
                    self.layer(f"{name}.{side}.{kind}.{i}.{resize}.0.conv", width, width, 3, 3)
            if side == "encoder":
                self.middle(f"{name}.{side}.mid_block", width)
            self.norm(f"{name}.{side}.conv_norm_out", width)
            self.layer(f"{name}.{side}.conv_out", 2 * CHANNELS if side == "encoder" else 3, width, 3, 3)
        self.layer(f"{name}.quant_conv", 2 * CHANNELS, 2 * CHANNELS, 1, 1)
        self.layer(f"{name}.post_quant_conv", CHANNELS, CHANNELS, 1, 1)

    def blocks(self, name, width, depth, modulated):
        hidden = int(2 * int(4 * width) / 3)
        for i in range(depth):
            block = f"{name}.blocks.{i}"
            for part in ("wq", "wk", "wv", "proj"):
                self.layer(f"{block}.attn.{part}", width, width, bias=False)
            for part, rows, columns in (("fc1", hidden, width), ("fc2", width, hidden), ("fc3", hidden, width)):
                self.layer(f"{block}.mlp.{part}", rows, columns, bias=False)
            if modulated:
                self.layer(block + ".adaLN_modulation.1", 12 * width, width)


def shapes(encoder, decoder):
    enc, dec, patch = 64 * encoder, 64 * decoder, PATCH * PATCH * CHANNELS
    all = Shapes()
    all.autoencoder("vae.vae")
    name = "encoder.module_dict."
    all.layer(name + "enc_patch_emb.patch_proj", enc, patch)
    all[name + "enc_posemb_module.posembs"] = (1, enc, GRID, GRID)
    all[name + "enc_register_module.registers"] = (REGISTERS, enc)
    all.blocks(name + "enc_transformer", enc, encoder, False)
    all.layer(name + "enc_to_latents.proj", len(LEVELS), enc)
    name = "decoder.module_dict."
    all.layer(name + "dec_from_latents.proj", dec, len(LEVELS))
    all[name + "dec_registers_posemb_module.posembs"] = (1, 1, dec, REGISTERS)
    all[name + "dec_nested_dropout.dropout_mask_token"] = (dec,)
    all[name + "dec_latent_dropout.nullcond"] = (dec,)
    all.layer(name + "dec_noise_patch_emb.patch_proj", dec, patch)
    all[name + "dec_patches_posemb_module.posembs"] = (1, dec, GRID, GRID)
    all.layer(name + "dec_time_embedder.mlp.0", dec, 256)
    all.layer(name + "dec_time_embedder.mlp.2", dec, dec)
    all.blocks(name + "dec_transformer", dec, decoder, True)
    all.layer(name + "dec_to_patches.adaLN_modulation.1", 2 * dec, dec)
    all.layer(name + "dec_to_patches.proj", patch, dec)
    return all


def values(name, shape, random):
    """Random, of a size that keeps activations alive through all layers."""
    if "norm" in name.split(".")[-2]:
        return numpy.full(shape, 1 if name.endswith("weight") else 0, "<f4")
    fan = math.prod(shape[1:]) if name.endswith("weight") else 100
    return random.standard_normal(shape, "f4") * numpy.float32(1 / math.sqrt(fan))


def main():
    parser = needs.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--encoder", type=int, default=12, help="layers; the width is 64 times as many")
    parser.add_argument("--decoder", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    config = configuration(options.encoder, options.decoder)
    names = shapes(options.encoder, options.decoder)
    header, end = {"__metadata__": {key: str(value) for key, value in config.items()}}, 0
    for name in sorted(names):
        size = 4 * math.prod(names[name])
        header[name] = {"dtype": "F32", "shape": names[name], "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    os.makedirs(options.folder, exist_ok=True)
    with open(os.path.join(options.folder, "config.json"), "w") as file:
        json.dump(config, file, indent=2)
    random = numpy.random.default_rng(options.seed)
    with open(os.path.join(options.folder, "model.safetensors"), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in sorted(names):
            values(name, names[name], random).tofile(file)
    print(f"{end // 4:,} parameters in {options.folder}")


if __name__ == "__main__":
    main()
