import CVTokKLT
import VTokImageTokenizers
import VTokModels
import VTokWeights

/// An image tokenizer with the name and the checksum that results record.
public struct LoadedTokenizer: Sendable {
  /// The embedded name, or the last part of the directory's path.
  public let name: String
  public let tokenizer: any ImageTokenizer
  /// SHA-256 of the weights.
  public let sha256: String

  /// What the weights hold.
  public let tensors: [TensorEntry]
  let files: [MappedFile]

  /// The tokenizer as one that makes pictures of tokens.
  /// - Throws: `ModelError.input` where it does not.
  public var painter: any PaintingTokenizer {
    get throws(ModelError) {
      if let painter = tokenizer as? any PaintingTokenizer { return painter }
      throw .input(
        what: "tokenizer '\(name)'", found: "a \(tokenizer.name), whose tokens become no pictures",
        expected: "one that paints",
        fix: "Take klt, FlexTok or One-D-Piece, for example.")
    }
  }

  /// The tokenizer as one that makes a vector of a picture's tokens.
  /// - Throws: `ModelError.input` where it does not.
  public var describer: any FeatureTokenizer {
    get throws(ModelError) {
      if let describer = tokenizer as? any FeatureTokenizer { return describer }
      throw .input(
        what: "tokenizer '\(name)'", found: "a \(tokenizer.name), whose tokens give no vector of a whole picture",
        expected: "one with a feature", fix: "Take SEED.")
    }
  }

  /// Names of the tokenizers inside the binary.
  public static let embedded = ["klt"]

  /// A directory as downloaded from the Hub (One-D-Piece has no `config.json`, and needs none), or an embedded name.
  /// - Throws: `ModelError`, `WeightError`.
  public static func load(_ nameOrDirectory: String) throws -> LoadedTokenizer {
    if nameOrDirectory == "klt" {
      var size = 0
      let basis = vtok_klt(&size)
      let memory = MappedFile(memory: UnsafeRawBufferPointer(start: basis, count: size), name: nameOrDirectory)
      let file = try Safetensors(memory)
      return LoadedTokenizer(
        name: nameOrDirectory, tokenizer: try KLTTokenizer(file), sha256: LoadedModel.checksum([memory]),
        tensors: file.entries, files: [memory])
    }
    let checkpoint = try ImageTokenizers.checkpoint(directory: nameOrDirectory)
    let name = nameOrDirectory.split(separator: "/").last.map(String.init) ?? nameOrDirectory
    return LoadedTokenizer(
      name: name, tokenizer: try ImageTokenizers.load(checkpoint), sha256: LoadedModel.checksum(checkpoint.files),
      tensors: checkpoint.tensors, files: checkpoint.files)
  }

  /// Whether there is an image tokenizer of that name or in that directory.
  public static func exists(_ nameOrDirectory: String) -> Bool {
    embedded.contains(nameOrDirectory)
      || (try? ImageTokenizers.checkpoint(directory: nameOrDirectory)).map { ImageTokenizers.matches($0) } ?? false
  }
}
