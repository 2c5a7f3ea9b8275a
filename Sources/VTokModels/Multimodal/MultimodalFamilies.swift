extension Families {
  /// Every family of vision-language models.
  static let multimodal: [MultimodalFamily] = [
    .llava15, .llavaNeXT, .llavaOneVision, .pMoD, .idefics3, .smolVLM, .qwen2VL, .qwen25VL, .qwen3VL, .qwen35, .gemma3,
    .internVL, .internVLChat, .paddleOCRVL,
  ]
}
