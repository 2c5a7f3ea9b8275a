import Foundation
import VTokFiles
import VTokImage
import VTokWeights

/// One record of a stream: the path of an image, or a JSON object that says more.
///
/// Keys of the object: `image`, a path, or `bytes`, the file in base64, or lists of them; `id`, any value, which the answer gives
/// back; `name`, which stands for the path in seeds and messages; `prompt`, the question. A path that begins with a brace is
/// written `./{...`.
public struct StreamRequest: Sendable, Equatable {
  public enum Source: Sendable, Equatable {
    case path(String)
    case bytes([UInt8])
  }

  /// What is wrong with a record. The stream goes on behind it.
  public struct Mistake: OneLineError, Equatable {
    public let message: String
    /// As far as it could be read.
    public let id: JSON

    init(id: JSON = .null, found: String, expected: String, fix: String) {
      self.id = id
      message = "\(found), expected \(expected). \(fix)"
    }
  }

  public let id: JSON
  public let images: [Source]
  public let prompt: String?
  /// The path, the given name, or the number of the record.
  public let name: String

  /// - Parameters:
  ///   - number: of the record, from 0.
  ///   - keys: what an object may hold beside its images: `prompt`.
  public init(_ record: StreamRecords.Record, number: Int, keys: Set<String> = []) throws(Mistake) {
    guard case .text(let bytes) = record else {
      throw Mistake(
        found: "a record of more than \(StreamRecords.longest) bytes", expected: "a path or a JSON object",
        fix: "Give large images by their path.")
    }
    guard bytes.first == UInt8(ascii: "{") else {
      id = .null
      name = FileName.text(bytes[...])
      images = [.path(name)]
      prompt = nil
      return
    }
    let object: JSON
    do { object = try JSON(parsing: bytes, budget: .data) } catch {
      throw Mistake(
        found: "a record that begins with { and is \(error)", expected: "a JSON object in one line",
        fix: "Correct it; a path that begins so is written ./{...")
    }
    let id = object.value(at: "id") ?? .null
    let known = keys.union(["id", "image", "bytes", "name"])
    if let other = object.object?.first(where: { !known.contains($0.key) })?.key {
      throw Mistake(
        id: id, found: "the key '\(other)'", expected: known.sorted().joined(separator: ", "), fix: "Remove it.")
    }
    self.id = id
    images = try Self.images(object, id)
    prompt = try Self.text(object, "prompt", id)
    let path: String? = if case .path(let path)? = images.first { path } else { nil }
    name = try Self.text(object, "name", id) ?? path ?? "record \(number)"
  }

  private static func text(_ object: JSON, _ key: String, _ id: JSON) throws(Mistake) -> String? {
    guard let value = object.value(at: key) else { return nil }
    guard let text = value.string else {
      throw Mistake(id: id, found: "`\(key)` \(value.brief)", expected: "a text", fix: "Correct it.")
    }
    return text
  }

  private static func images(_ object: JSON, _ id: JSON) throws(Mistake) -> [Source] {
    let (paths, files) = (object.value(at: "image"), object.value(at: "bytes"))
    guard (paths == nil) != (files == nil), let given = paths ?? files,
      let texts = given.string.map({ [$0] }) ?? given.strings,
      !texts.isEmpty
    else {
      throw Mistake(
        id: id,
        found: paths != nil && files != nil ? "both `image` and `bytes`" : "neither `image` nor `bytes` as a text",
        expected: "the path of an image, or its file in base64", fix: "Give one of the two.")
    }
    if paths != nil { return texts.map { .path($0) } }
    return try texts.map { text throws(Mistake) in
      guard let data = Data(base64Encoded: text) else {
        throw Mistake(
          id: id, found: "`bytes` that are no base64", expected: "the bytes of an image file in base64",
          fix: "Encode the file as it is, without line ends.")
      }
      return .bytes(Array(data))
    }
  }
}

extension StreamRequest.Source {
  /// - Throws: `ImageError` with the path, or with `name` for bytes.
  public func decoded(_ name: String, options: DecodeOptions) throws(ImageError) -> DecodedImage {
    switch self {
    case .path(let path): return try ImageFile(path: path).decoded(options: options)
    case .bytes(let bytes):
      do throws(ImageError) { return try Image.decode(bytes, options: options) } catch { throw error.named(name) }
    }
  }
}
