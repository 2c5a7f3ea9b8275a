import VTokFiles
import VTokWeights

/// Names of the files that are made from names of inputs: `<name>.png` below a folder.
///
/// A name loses what would lead out of the folder (`/`, `.`, `..`). Where it then equals that of another input, or is too
/// long for a file system, it is cut and has a part of its SHA-256 behind it: names that differ have files that differ.
package struct OutputNames: Sendable {
  private let repeated: Set<Int>

  /// - Parameter names: of all inputs.
  package init(_ names: some Sequence<String>) {
    var (seen, places, repeated): (Set<Int>, Set<Int>, Set<Int>) = ([], [], [])
    var isClean = true
    for name in names where seen.insert(name.hashValue).inserted {
      let cleaned = Self.cleaned(name)
      isClean = isClean && cleaned == name
      if !places.insert(cleaned.hashValue).inserted { repeated.insert(cleaned.hashValue) }
    }
    self.repeated = isClean ? [] : repeated
  }

  package func png(_ name: String) -> String {
    let cleaned = Self.cleaned(name)
    let (folder, last) = FileName.split(cleaned)
    let bytes = FileName.bytes(last)
    let isTaken = cleaned != name && repeated.contains(cleaned.hashValue)
    let isDeep = folder.utf8.count > Self.longestFolder
    guard isTaken || isDeep || bytes.count > Self.longestName else { return cleaned + ".png" }
    let mark = "-" + SHA256.of(FileName.bytes(name)).prefix(16)
    var end = min(bytes.count, Self.longestName - mark.utf8.count)
    while end > 0, end < bytes.count, bytes[end] & 0xC0 == 0x80 { end -= 1 }  // between characters
    return (folder.isEmpty || isDeep ? "" : folder + "/") + FileName.text(bytes[..<end]) + mark + ".png"
  }

  /// A path that stays below a folder when appended to it.
  package static func cleaned(_ path: String) -> String {
    path.split(separator: "/").filter { $0 != "." && $0 != ".." }.joined(separator: "/")
  }

  /// Longest last part in bytes, without `.png`: file systems take 255.
  private static let longestName = 251
  /// Longest path in front of it: the system takes 4096 for all.
  private static let longestFolder = 2048
}
