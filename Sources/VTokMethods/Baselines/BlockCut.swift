import VTokCore
import VTokTensor

/// A single cut of patch rows at the end of one block; prefix rows stay, order stays.
struct BlockCut: Sendable {
  let budget: Budget
  let block: Int?
}

extension BlockCut {
  init(_ options: inout Options) throws(OptionError) {
    block = try options.take(
      "block", default: nil, in: 0...1000, as: .cut,
      "cut at the end of this block, counted from 0 (default: a quarter of the depth)")
    budget = try options.budget("patches kept") ?? .ratio(0.5)
  }

  func site(in model: Shape, for method: String) throws(CompressionError) -> Site {
    guard let tower = model.tower else {
      throw .unsupported(method: method, found: "no vision tower", expected: "one", fix: CompressionError.anotherMethod)
    }
    return .block(block ?? max(0, tower.blocks / 4 - 1), .end)
  }

  func reduction(keeping patches: [Int], of tokens: TokenSequence) -> Reduction {
    let prefix = tokens.kind.indices.filter { tokens.kind[$0] != .patch }
    return .keep((prefix + patches).sorted(), of: tokens.count)
  }
}
