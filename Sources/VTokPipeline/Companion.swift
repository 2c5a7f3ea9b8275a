import VTokModels
import VTokTensor
import VTokWeights

/// The CLIP that a tower comes from: patches and questions in one space.
struct Companion: Sendable {
  let space: JointSpace
  private let clip: CLIP
  private let tokenizer: CLIPTokenizer
  private let checkpoint: Checkpoint

  /// - Parameter width: of the tower whose features it must take.
  init(_ checkpoint: Checkpoint, width: Int) throws {
    self.checkpoint = checkpoint
    clip = try CLIP.load(checkpoint)
    tokenizer = try CLIPTokenizer(checkpoint)
    let found = clip.vision.tower.shape.width
    guard let space = JointSpace(clip), found == width else {
      throw ModelError.input(
        what: "companion '\(checkpoint.name)'", found: "a tower of width \(found)", expected: "\(width)",
        fix: "Name the CLIP that the model's tower comes from.")
    }
    guard tokenizer.count <= clip.text.vocabulary else {
      throw ModelError.input(
        what: "companion '\(checkpoint.name)'", found: "a tokenizer of \(tokenizer.count) ids",
        expected: "at most the \(clip.text.vocabulary) that its text tower knows",
        fix: "Fetch tokenizer and weights of one revision of the checkpoint.")
    }
    self.space = space
  }

  /// Of its weights and its other files.
  var sha256: String {
    get throws { SHA256.of((LoadedModel.checksum(checkpoint.files) + (try checkpoint.settingsSHA256())).utf8) }
  }

  /// The question in pieces of CLIP's context length, the last one filled with zeros, as CDPruner's code cuts it.
  /// `[pieces, width]`
  func embed(_ question: String) -> Tensor {
    let ids = [tokenizer.start] + tokenizer.encode(question) + [tokenizer.end]
    let length = clip.text.contextLength
    let rows = stride(from: 0, to: ids.count, by: length).map { start in
      let piece = Array(ids[start..<min(start + length, ids.count)])
      return clip.text(piece + [Int](repeating: 0, count: length - piece.count)).projected
    }
    return Tensor(rows.flatMap { $0 }, shape: [rows.count, rows[0].count])
  }
}
