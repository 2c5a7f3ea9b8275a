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
    let checkpoint = try Checkpoint(directory: nameOrDirectory, config: [:])
    let name = nameOrDirectory.split(separator: "/").last.map(String.init) ?? nameOrDirectory
    return LoadedTokenizer(
      name: name, tokenizer: try ImageTokenizers.load(checkpoint), sha256: LoadedModel.checksum(checkpoint.files),
      tensors: checkpoint.tensors, files: checkpoint.files)
  }

  /// Whether there is an image tokenizer of that name or in that directory.
  public static func exists(_ nameOrDirectory: String) -> Bool {
    embedded.contains(nameOrDirectory)
      || (try? Checkpoint(directory: nameOrDirectory, config: [:])).map { ImageTokenizers.matches($0) } ?? false
  }
}
