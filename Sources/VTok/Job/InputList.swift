import Foundation
import VTokImage

/// One picture of a job.
public struct InputFile: Sendable, Equatable {
  /// Path to open.
  public let path: String
  /// Name in manifests: relative to the folder it was found in.
  public let name: String
  public init(path: String, name: String) { (self.path, self.name) = (path, name) }
}

/// What cannot be the input of a job.
public enum InputError: Error, Sendable, Equatable, CustomStringConvertible {
  case missing(String)
  case noImages(String)

  public var description: String {
    switch self {
    case .missing(let path): "input '\(path)': no such file or folder, expected an image or a folder. Check the path."
    case .noImages(let path):
      "input '\(path)': no image files, expected at least one (\(InputList.endings.sorted().joined(separator: ", "))). "
        + "Name files one by one if they have other endings."
    }
  }
}

public enum InputList {
  /// File name endings a folder scan takes for images. What is inside decides later, so pictures of formats that are
  /// not read become error rows instead of vanishing.
  public static let endings: Set<String> = [
    "png", "jpg", "jpeg", "jpe", "jfif", "gif", "bmp", "webp", "tif", "tiff", "avif", "heic", "heif", "jp2", "jxl",
  ]

  /// Folders (recursive, sorted by path), files as given. Links to folders are followed once each, so loops end.
  /// - Throws: `InputError` for a path that does not exist and for a folder without any image.
  public static func find(_ paths: [String]) throws(InputError) -> [InputFile] {
    var found: [InputFile] = []
    for path in paths {
      var isFolder: ObjCBool = false
      // A dangling or looping link exists as a name: it becomes an error row of the job.
      let exists = FileManager.default.fileExists(atPath: path, isDirectory: &isFolder)
      if !exists, (try? FileManager.default.attributesOfItem(atPath: path)) == nil { throw .missing(path) }
      guard isFolder.boolValue else {
        found.append(InputFile(path: path, name: path))
        continue
      }
      var visited: Set<String> = []
      var names: [String] = []
      scan(path, "", &visited, &names)
      if names.isEmpty { throw .noImages(path) }
      names.sort { $0.utf8.lexicographicallyPrecedes($1.utf8) }
      let prefix = paths.count > 1 ? cleaned(path) + "/" : ""
      found += names.map { InputFile(path: path + "/" + $0, name: prefix + $0) }
    }
    return found
  }

  private static func scan(_ root: String, _ relative: String, _ visited: inout Set<String>, _ names: inout [String]) {
    let folder = relative.isEmpty ? root : root + "/" + relative
    let real = URL(fileURLWithPath: folder).resolvingSymlinksInPath().path
    guard visited.insert(real).inserted, let entries = try? FileManager.default.contentsOfDirectory(atPath: folder)
    else { return }
    for entry in entries where !entry.hasPrefix(".") {
      let name = relative.isEmpty ? entry : relative + "/" + entry
      var isFolder: ObjCBool = false
      if FileManager.default.fileExists(atPath: root + "/" + name, isDirectory: &isFolder), isFolder.boolValue {
        scan(root, name, &visited, &names)
      } else if endings.contains((entry as NSString).pathExtension.lowercased()) {
        names.append(name)
      }
    }
  }

  /// A path that stays below a folder when appended to it.
  static func cleaned(_ path: String) -> String {
    path.split(separator: "/").filter { $0 != "." && $0 != ".." }.joined(separator: "/")
  }
}
