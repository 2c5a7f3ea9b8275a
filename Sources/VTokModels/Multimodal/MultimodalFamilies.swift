extension Families {
  /// Every family of vision-language models.
  static let multimodal: [MultimodalFamily] = [
    .llava15, .llavaNeXT, .llavaOneVision, .llavaQwen, .pMoD, .idefics3, .smolVLM, .qwen2VL, .qwen25VL, .qwen3VL,
    .qwen35, .gemma3,
    .internVL, .internVLChat, .paddleOCRVL,
  ]
}

extension Families {
  /// Families that take videos, by name.
  package static var videos: [String] { multimodal.filter { $0.text.takesVideos }.map(\.name) }
}
