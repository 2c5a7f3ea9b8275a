import VTokFiles

/// A video as a folder of pictures with numbers in their names: `frame-0001.png`, `2.jpg`. No codec is read.
public struct FrameFolder: Sendable {
  /// Paths, in the order of the numbers.
  public let frames: [String]

  /// What is wrong with such a folder.
  public struct Mistake: OneLineError {
    let path: String, found: String, expected: String, fix: String

    init(_ path: String, found: String, expected: String, fix: String) {
      (self.path, self.found, self.expected, self.fix) = (path, found, expected, fix)
    }

    public var message: String { "video '\(printable(path))': \(found), expected \(expected). \(fix)" }
  }

  /// Pictures of the folder itself, not of folders in it; hidden files are passed over.
  /// - Throws: `Mistake` for a folder without pictures, and for a picture whose name has no number, or that of another;
  ///   `SystemError` of the machine.
  public init(_ path: String) throws {
    let names: [String]
    do throws(SystemError) { names = try Folder.names(path) } catch {
      if error.isOfMachine { throw error }
      throw Mistake(path, found: "it cannot be read (\(error.reason))", expected: "a folder", fix: "Check the path.")
    }
    let pictures = names.filter { !$0.hasPrefix(".") && InputList.isImage($0) }.sorted()
    guard !pictures.isEmpty else {
      throw Mistake(
        path, found: "no pictures", expected: "frames with numbers in their names",
        fix: "Cut the video into pictures first, with any program.")
    }
    var numbered: [(number: Int, name: String)] = []
    for name in pictures {
      guard let number = Self.number(in: name) else {
        throw Mistake(
          path, found: "the picture '\(printable(name))', whose name has no number", expected: "a number in every name",
          fix: "Rename it, or move it elsewhere.")
      }
      if let other = numbered.first(where: { $0.number == number }) {
        throw Mistake(
          path, found: "'\(printable(other.name))' and '\(printable(name))' with one number", expected: "each once",
          fix: "Rename one, or move it elsewhere.")
      }
      numbered.append((number, name))
    }
    frames = numbered.sorted { $0.number < $1.number }.map { path + "/" + $0.name }
  }

  /// The last run of digits before the ending.
  private static func number(in name: String) -> Int? {
    let stem = name.utf8.lastIndex(of: UInt8(ascii: ".")).map { name.utf8[..<$0] } ?? name.utf8[...]
    let isDigit = { (byte: UInt8) in (0x30...0x39).contains(byte) }
    guard let last = stem.lastIndex(where: isDigit) else { return nil }
    let rest = stem[...last]
    let start = rest.lastIndex { !isDigit($0) }.map { rest.index(after: $0) } ?? rest.startIndex
    return Int(String(decoding: rest[start...], as: UTF8.self))
  }
}
