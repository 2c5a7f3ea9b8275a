"""A small model and its processor for every family, by the classes of transformers."""
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

IMAGE_SIZES = [(90, 60), (64, 64), (40, 100), (150, 70)]

# Processors ask for a video part, which needs torchvision; images do without.
_mixin = transformers.processing_utils.ProcessorMixin
_check = _mixin.check_argument_for_proper_class
_mixin.check_argument_for_proper_class = lambda self, name, value: None if value is None else _check(self, name, value)

TEXT = ["what is in this image? the small red house stands on a green hill.", "a line of words, and numbers: 1, 2, 30."]


def tokenizer(special, named, **options):
    """Byte-level pairs with the special tokens of a family; `named`: under which name its processor finds them."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    made.train_from_iterator(TEXT, trainer)
    made.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in ["<eos>", "<pad>", *special]])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token="<eos>", pad_token="<pad>", extra_special_tokens=named, **options)


def template(mark):
    """A chat template that writes `mark` for an image."""
    return (
        "{% for message in messages %}{{ '[' + message['role'] + '] ' }}{% if message['content'] is string %}"
        "{{ message['content'] }}{% else %}{% for part in message['content'] %}{% if part['type'] == 'image' %}"
        "{{ '" + mark + "' }}{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}{{ '\\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '[assistant] ' }}{% endif %}")


def text(kind, words, **more):
    config = dict(
        model_type=kind, hidden_size=48, intermediate_size=80, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=2048, vocab_size=len(words), eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id, bos_token_id=None, tie_word_embeddings=False)
    return config | more


def tower(kind, **more):
    return dict(
        model_type=kind, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4, image_size=28,
        patch_size=7) | more


def qwen_tower(kind, **more):
    return dict(
        model_type=kind, depth=3, hidden_size=32, num_heads=2, in_channels=3, spatial_merge_size=2, temporal_patch_size=2) | more


def edges(**more):
    return {"shortest_edge": 28} | more


def llava(vision="clip_vision_model", language="llama", strategy="default"):
    words = tokenizer(["<image>"], {"image_token": "<image>"})
    side = {"height": 28, "width": 28}
    if vision == "clip_vision_model":
        images = transformers.CLIPImageProcessorPil(size=edges(), crop_size=side)
    else:
        images = transformers.SiglipImageProcessorPil(size=side)
    processor = transformers.LlavaProcessor(
        images, words, patch_size=7, vision_feature_select_strategy=strategy, chat_template=template("<image>\\n"),
        num_additional_image_tokens=1 if vision == "clip_vision_model" else 0)
    return processor, "llava", dict(
        vision_config=tower(vision), text_config=text(language, words), image_token_index=words.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-2, vision_feature_select_strategy=strategy)


def llava_next():
    words = tokenizer(["<image>"], {"image_token": "<image>"})
    pinpoints = [[28, 56], [56, 28], [56, 56], [28, 84], [84, 28]]
    images = transformers.LlavaNextImageProcessorPil(
        size=edges(), crop_size={"height": 28, "width": 28}, image_grid_pinpoints=pinpoints)
    processor = transformers.LlavaNextProcessor(
        images, words, patch_size=7, vision_feature_select_strategy="default", chat_template=template("<image>\\n"),
        num_additional_image_tokens=1)
    return processor, "llava_next", dict(
        vision_config=tower("clip_vision_model"), text_config=text("mistral", words, sliding_window=None),
        image_token_index=words.convert_tokens_to_ids("<image>"), image_grid_pinpoints=pinpoints)


def llava_onevision():
    words = tokenizer(["<image>", "<video>"], {"image_token": "<image>", "video_token": "<video>"})
    pinpoints = [[28 * a, 28 * b] for a in (1, 2, 3) for b in (1, 2, 3)]
    images = transformers.LlavaOnevisionImageProcessorPil(size={"height": 28, "width": 28}, image_grid_pinpoints=pinpoints)
    processor = transformers.LlavaOnevisionProcessor(
        images, words, None, num_image_tokens=16, vision_feature_select_strategy="full",
        chat_template=template("<image>\\n"), vision_aspect_ratio="anyres_max_9")
    return processor, "llava_onevision", dict(
        vision_config=tower("siglip_vision_model", vision_use_head=False), text_config=text("qwen2", words),
        image_token_index=words.convert_tokens_to_ids("<image>"), video_token_index=words.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=pinpoints, vision_aspect_ratio="anyres_max_9", vision_feature_select_strategy="full",
        vision_feature_layer=-1, tie_word_embeddings=False)


IDEFICS = ["<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>"]
IDEFICS_NAMES = {
    "image_token": "<image>", "fake_image_token": "<fake_token_around_image>", "global_image_token": "<global-img>",
    "end_of_utterance_token": "<end_of_utterance>"}


def idefics3():
    rows = [f"<row_{row + 1}_col_{column + 1}>" for row in range(6) for column in range(6)]
    words = tokenizer(IDEFICS + rows, IDEFICS_NAMES)
    images = transformers.Idefics3ImageProcessorPil(size={"longest_edge": 56}, max_image_size={"longest_edge": 28})
    processor = transformers.Idefics3Processor(images, words, image_seq_len=4, chat_template=template("<image>"))
    return processor, "idefics3", dict(
        vision_config=tower("idefics3_vision"), text_config=text("llama", words), scale_factor=2,
        image_token_id=words.convert_tokens_to_ids("<image>"), pad_token_id=words.pad_token_id, tie_word_embeddings=False)


def smolvlm():
    rows = [f"<row_{row + 1}_col_{column + 1}>" for row in range(6) for column in range(6)]
    words = tokenizer(IDEFICS + rows, IDEFICS_NAMES)
    images = transformers.SmolVLMImageProcessorPil(size={"longest_edge": 56}, max_image_size={"longest_edge": 28})
    processor = transformers.SmolVLMProcessor(images, words, None, image_seq_len=4, chat_template=template("<image>"))
    return processor, "smolvlm", dict(
        vision_config=tower("smolvlm_vision"), text_config=text("llama", words), scale_factor=2,
        image_token_id=words.convert_tokens_to_ids("<image>"), pad_token_id=words.pad_token_id, tie_word_embeddings=False)


VISION = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
VISION_NAMES = {
    "image_token": "<|image_pad|>", "video_token": "<|video_pad|>", "vision_bos_token": "<|vision_start|>",
    "vision_eos_token": "<|vision_end|>"}
VISION_MARK = "<|vision_start|><|image_pad|><|vision_end|>"


def qwen(kind, patch, vision, language):
    words = tokenizer(VISION, VISION_NAMES)
    factor = patch * 2
    images = transformers.Qwen2VLImageProcessorPil(
        patch_size=patch, merge_size=2, temporal_patch_size=2,
        size={"shortest_edge": 4 * factor * factor, "longest_edge": 24 * factor * factor})
    classes = {
        "qwen2_vl": transformers.Qwen2VLProcessor, "qwen2_5_vl": transformers.Qwen2_5_VLProcessor,
        "qwen3_vl": transformers.Qwen3VLProcessor, "qwen3_5": transformers.Qwen3VLProcessor}
    processor = classes[kind](images, words, None, chat_template=template(VISION_MARK))
    ids = {
        f"{name}_token_id": words.convert_tokens_to_ids(token)
        for name, token in zip(("vision_start", "vision_end", "image", "video"), VISION)}
    return processor, kind, dict(
        vision_config=vision | {"patch_size": patch}, text_config=text(language.pop("model_type"), words, **language),
        tie_word_embeddings=False) | ids


def qwen2_vl():
    vision = qwen_tower("qwen2_vl_vision", embed_dim=32, mlp_ratio=2)
    vision["hidden_size"] = 48
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 2, 2]}
    return qwen("qwen2_vl", 7, vision, dict(model_type="qwen2_vl_text", rope_parameters=rope))


def qwen2_5_vl():
    vision = qwen_tower(
        "qwen2_5_vl_vision", intermediate_size=40, out_hidden_size=48, window_size=28, fullatt_block_indexes=[1],
        hidden_act="silu")
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 2, 2]}
    return qwen("qwen2_5_vl", 7, vision, dict(model_type="qwen2_5_vl_text", rope_parameters=rope))


def qwen3_vl():
    vision = qwen_tower(
        "qwen3_vl_vision", intermediate_size=48, out_hidden_size=48, num_position_embeddings=64,
        deepstack_visual_indexes=[0, 1])
    rope = {"rope_type": "default", "rope_theta": 5e6, "mrope_section": [4, 2, 2], "mrope_interleaved": True}
    return qwen("qwen3_vl", 16, vision, dict(model_type="qwen3_vl_text", head_dim=16, rope_parameters=rope))


def qwen3_5():
    vision = qwen_tower("qwen3_5_vision", intermediate_size=48, out_hidden_size=48, num_position_embeddings=64)
    rope = {
        "rope_type": "default", "rope_theta": 1e7, "mrope_section": [2, 1, 1], "mrope_interleaved": True,
        "partial_rotary_factor": 0.25}
    language = dict(
        model_type="qwen3_5_text", head_dim=32, rope_parameters=rope, num_hidden_layers=4, linear_conv_kernel_dim=4,
        linear_key_head_dim=8, linear_num_key_heads=2, linear_num_value_heads=4, linear_value_head_dim=12,
        layer_types=["linear_attention"] * 3 + ["full_attention"])
    return qwen("qwen3_5", 16, vision, language)


def internvl(language="qwen2"):
    tokens = {"start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>", "video_token": "<video>"}
    words = tokenizer(list(tokens.values()), tokens)
    images = transformers.GotOcr2ImageProcessorPil(
        size={"height": 28, "width": 28}, crop_to_patches=True, min_patches=1, max_patches=6)
    processor = transformers.InternVLProcessor(
        images, words, None, image_seq_length=4, chat_template=template("<IMG_CONTEXT>\\n"))
    vision = tower("internvl_vision", layer_scale_init_value=0.1, image_size=[28, 28], patch_size=[7, 7])
    more = {"head_dim": 16} if language == "qwen3" else {}
    return processor, "internvl", dict(
        vision_config=vision, text_config=text(language, words, **more), image_seq_length=4, downsample_ratio=0.5,
        image_token_id=words.convert_tokens_to_ids("<IMG_CONTEXT>"), tie_word_embeddings=False)


def gemma3():
    tokens = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"}
    words = tokenizer(["<bos>", *tokens.values()], tokens, bos_token="<bos>")
    images = transformers.Gemma3ImageProcessorPil(size={"height": 48, "width": 48})
    processor = transformers.Gemma3Processor(
        images, words, chat_template=template("<start_of_image>"), image_seq_length=9)
    language = text(
        "gemma3_text", words, num_hidden_layers=6, head_dim=16, sliding_window=7, query_pre_attn_scalar=20,
        bos_token_id=words.bos_token_id, tie_word_embeddings=True)
    return processor, "gemma3", dict(
        vision_config=tower("siglip_vision_model", image_size=48, patch_size=4, vision_use_head=False), text_config=language,
        mm_tokens_per_image=9, boi_token_index=words.convert_tokens_to_ids("<start_of_image>"),
        eoi_token_index=words.convert_tokens_to_ids("<end_of_image>"),
        image_token_index=words.convert_tokens_to_ids("<image_soft_token>"))


def paddleocr_vl():
    tokens = ["<|IMAGE_START|>", "<|IMAGE_END|>", "<|IMAGE_PLACEHOLDER|>", "<|video_pad|>"]
    words = tokenizer(tokens, {"image_token": tokens[2], "video_token": tokens[3]})
    images = transformers.PaddleOCRVLImageProcessorPil(
        patch_size=7, merge_size=2, temporal_patch_size=1,
        size={"shortest_edge": 4 * 14 * 14, "longest_edge": 24 * 14 * 14})
    processor = transformers.PaddleOCRVLProcessor(images, words, chat_template=template("".join((tokens[0], tokens[2], tokens[1]))))
    rope = {"rope_type": "default", "rope_theta": 5e5, "mrope_section": [2, 3, 3]}
    ids = {
        f"{name}_token_id": words.convert_tokens_to_ids(token)
        for name, token in zip(("vision_start", "vision_end", "image", "video"), tokens)}
    return processor, "paddleocr_vl", dict(
        vision_config=tower("paddleocr_vl_vision", spatial_merge_size=2),
        text_config=text("paddleocr_vl_text", words, head_dim=16, rope_parameters=rope), tie_word_embeddings=False) | ids


FAMILIES = {
    "llava": llava,
    "llava-siglip-qwen2": lambda: llava("siglip_vision_model", "qwen2", "full"),
    "llava_next": llava_next,
    "llava_onevision": llava_onevision,
    "idefics3": idefics3,
    "smolvlm": smolvlm,
    "qwen2_vl": qwen2_vl,
    "qwen2_5_vl": qwen2_5_vl,
    "qwen3_vl": qwen3_vl,
    "qwen3_5": qwen3_5,
    "internvl": internvl,
    "internvl-qwen3": lambda: internvl("qwen3"),
    "gemma3": gemma3,
    "paddleocr_vl": paddleocr_vl,
}
NAMES = list(FAMILIES)


def make(name):
    """The processor and the model of a family, with the weights that transformers starts from."""
    processor, kind, settings = FAMILIES[name]()
    config = transformers.AutoConfig.for_model(kind, **settings)
    return processor, transformers.AutoModelForImageTextToText.from_config(config, attn_implementation="eager")


def save(processor, directory):
    """What `processor.save_pretrained` writes, without the video part that is not there."""
    names = [name for name in processor.get_attributes() if getattr(processor, name, None) is not None]
    kind = type(processor)
    original = kind.get_attributes
    kind.get_attributes = classmethod(lambda _: names)
    try:
        processor.save_pretrained(directory)
    finally:
        kind.get_attributes = original
