import Foundation
import VTokFiles
import VTokImage
import VTokWeights

/// A file of somebody else's questions.
struct ImportFile: Sendable {
  let path: String
  var name: String { FileName.split(path).name }

  func bytes() throws -> [UInt8] { try MappedFile(path: path).withBytes { [UInt8]($0) } }

  func json() throws -> JSON {
    do { return try JSON(parsing: bytes(), budget: .questions) } catch let error as JSONError {
      throw DataError.entry(file: path, place: "JSON", found: "\(error)", expected: "a whole JSON file")
    }
  }

  /// An object a line, with its number from 1.
  func lines() throws -> [(number: Int, json: JSON)] {
    var found: [(Int, JSON)] = []
    for (index, line) in try bytes().split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated()
    where !line.allSatisfy({ $0 == 32 || $0 == 13 || $0 == 9 }) {
      guard let json = try? JSON(parsing: Array(line)), json.object != nil else {
        throw DataError.line(file: path, number: index + 1, found: "no JSON object", expected: "one a line")
      }
      found.append((index + 1, json))
    }
    return found
  }

  func wrong(_ place: String, _ found: String, _ expected: String) -> DataError {
    .entry(file: path, place: place, found: found, expected: expected)
  }

  /// A text, or a whole number as a text.
  func text(_ json: JSON, _ key: String, _ place: String) throws(DataError) -> String {
    if let text = json[key]?.string { return text }
    if let number = json[key]?.int { return "\(number)" }
    throw wrong(place, json[key].map { "`\(key)` \($0.text().prefix(60))" } ?? "no `\(key)`", "a text")
  }

  /// The objects of a list that stands in the file, alone or at a key.
  func list(_ json: JSON, _ key: String? = nil) throws(DataError) -> [JSON] {
    guard let list = key.map({ json[$0]?.array }) ?? json.array else {
      throw wrong("JSON", key.map { "no list `\($0)`" } ?? "no list", "the published file")
    }
    return list
  }
}

/// Where pictures are, or are put.
final class PictureStore: Sendable {
  /// Of those that have files of their own.
  let folder: String
  /// Of those that come inside a file.
  private let made: String

  init(folder: String, stem: String) {
    self.folder = folder
    made = stem + "-images"
  }

  /// Writes a picture that came inside a file.
  /// - Parameter name: without an ending; what no file name has becomes `_`.
  /// - Returns: its path, for `ImportedQuestion.images`.
  func keep(_ bytes: [UInt8], as name: String) throws -> String {
    let plain = String(name.map { $0.isLetter || $0.isNumber || $0 == "-" ? $0 : "_" })
    try Folder.make(made)
    let path = whole(made) + "/" + plain + Self.ending(bytes)
    try WholeFile.write(bytes, to: path, synced: false)
    return path
  }

  private static func ending(_ bytes: [UInt8]) -> String {
    switch bytes.prefix(4) {
    case [0xFF, 0xD8, 0xFF, bytes.dropFirst(3).first ?? 0]: ".jpg"
    case [0x89, 0x50, 0x4E, 0x47]: ".png"
    case [0x52, 0x49, 0x46, 0x46]: ".webp"
    default: ""
    }
  }

  /// A picture's path as the system finds it, and as a question file has it: from its own folder where the picture lies
  /// below it, else the whole path.
  func path(of image: String, from file: String) -> (found: String, written: String) {
    let found = whole(image.hasPrefix("/") || folder.isEmpty ? image : folder + "/" + image)
    let parent = (whole(file) as NSString).deletingLastPathComponent + "/"
    return (found, found.hasPrefix(parent) ? String(found.dropFirst(parent.count)) : found)
  }

  private func whole(_ path: String) -> String { URL(fileURLWithPath: path).standardizedFileURL.path }
}
