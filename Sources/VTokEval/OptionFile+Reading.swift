import VTokCore
import VTokFiles
import VTokLibC
import VTokTensor
import VTokWeights

extension OptionFile {
  /// Reads a file that an option names: safetensors by its ending, or JSON with lists of numbers.
  /// - Throws: a `OneLineError` for a file that is missing or cannot be read, `WeightError` and `JSONError` for its contents.
  @Sendable public static func read(_ path: String) throws -> OptionFile {
    if path.hasSuffix(".safetensors") {
      let file = try Safetensors(path: path)
      var tensors: [String: Tensor] = [:]
      for entry in file.entries { tensors[entry.name] = try file.tensor(entry.name) }
      return OptionFile(tensors: tensors)
    }
    let bytes: [UInt8]
    do throws(SystemError) { bytes = try FileBytes.read(path) } catch {
      if error.isOfMachine { throw error }
      let found = error.code == ENOENT ? "no such file" : "it cannot be read (\(error.reason))"
      throw Unusable(path: path, found: found, expected: "a file")
    }
    let json = try JSON(parsing: bytes)
    guard let object = json.object else {
      throw Unusable(path: path, found: "JSON that is no object", expected: "an object with lists of numbers")
    }
    var lists: [String: [Double]] = [:]
    for (key, value) in object { lists[key] = value.doubles }
    return OptionFile(lists: lists, schema: json["schema"]?.string)
  }

  private struct Unusable: OneLineError {
    let path: String, found: String, expected: String
    var message: String { "file '\(printable(path))': \(found), expected \(expected). Check the path." }
  }
}
