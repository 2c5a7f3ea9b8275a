import VTokCore
import VTokImage
import VTokModels

// MARK: Images that a method shrinks: what the dense model would read of them

extension Generator {
  /// The image as the dense model takes it, without its pixels where a method has shrunk it.
  func whole(_ image: PreparedImage) throws(ImageError) -> PreparedImage {
    composition.shrink == nil || image.isVideo ? image : try outline.whole(image)
  }

  /// Visual tokens that the dense model reads of an image.
  func wholeTokens(of image: PreparedImage) throws -> Double {
    Double(try wholeSpans(of: image).reduce(0, +))
  }

  private func wholeSpans(of image: PreparedImage) throws -> [Int] {
    composition.shrink == nil ? try model.spans(of: image) : outline.geometry!.spans(of: try whole(image))
  }

  /// Refuses a budget that no smaller image has: a long, thin one keeps a token for every cell of its length.
  func checkShrunk(_ images: [PreparedImage]) throws {
    guard let budget = composition.shrink else { return }
    for image in images {
      let (whole, left) = (try wholeSpans(of: image).reduce(0, +), try model.spans(of: image).reduce(0, +))
      let asked = max(1, budget.tokens(of: whole))
      guard left > asked else { continue }
      throw CompressionError.unreachable(
        method: composition.shrinks!, asked: "\(asked) of \(whole) tokens", reachable: "no fewer than \(left)",
        fix: "Choose a larger budget, or another method.")
    }
  }

  /// Tokens of the prompt with its images whole.
  func wholeIds(of prompt: Prompt) throws -> [Int] {
    guard composition.shrink != nil else { return prompt.ids }
    let spans = try prompt.images.flatMap { try model.spans(of: $0) }
    let wholes = try prompt.images.flatMap { try wholeSpans(of: $0) }
    var ids: [Int] = []
    var (span, left) = (0, spans.first ?? 0)
    for id in prompt.ids {
      guard id == model.placeholder, span < spans.count else {
        ids.append(id)
        continue
      }
      left -= 1
      guard left == 0 else { continue }
      ids += [Int](repeating: id, count: wholes[span])
      span += 1
      left = span < spans.count ? spans[span] : 0
    }
    return ids
  }
}
