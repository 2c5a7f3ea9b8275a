extension GGUF {
  /// The GGUF files of a folder that has weights in no other format, by name; of one in several parts the first. Empty for
  /// another folder.
  /// - Throws: `WeightError` for a folder that cannot be read.
  public static func files(in directory: String) throws(WeightError) -> [String] {
    let names = try CheckpointFiles.names(in: directory)
    let others = PyTorchFile.endings + [".safetensors", ".safetensors.index.json", ".bin.index.json"]
    guard !names.contains(where: { name in others.contains { name.hasSuffix($0) } }) else { return [] }
    return names.filter { $0.hasSuffix(ending) && !isLaterPart($0) }
  }

  /// `NAME-00002-of-00003.gguf`
  private static func isLaterPart(_ name: String) -> Bool {
    let parts = name.dropLast(ending.count).split(separator: "-").suffix(3)
    guard parts.count == 3, let of = parts.dropFirst().first, of == "of", let number = Int(parts.first!) else {
      return false
    }
    return parts.allSatisfy { $0 == "of" || $0.utf8.count == 5 } && number > 1
  }
}
