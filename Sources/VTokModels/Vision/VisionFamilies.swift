extension Families {
  /// Every family of vision towers, in the order in which tensors are asked where a configuration says nothing.
  static let vision: [VisionFamily] = [
    TimmViT.family, CLIP.family, SigLIP.family, SigLIP2.family, DINOv2.family, DINOv3.family, HuggingFaceViT.family,
  ]
}
