import VTokLibC

/// A place that cannot take what a command will write.
public struct OutputError: OneLineError, Equatable {
  public let message: String
  /// Whether something is there that may be replaced.
  public let isTaken: Bool
  public init(_ what: String, found: String, expected: String, fix: String, isTaken: Bool = false) {
    self.isTaken = isTaken
    message = "\(what): \(found), expected \(expected). \(fix)"
  }
}

/// Looks at outputs before hours of work are spent on them. Nothing is made or changed.
public enum OutputCheck {
  /// A file to be written: it or the folder it goes into.
  /// - Parameter name: of the output, for messages.
  public static func file(_ path: String, _ name: String) throws {
    let what = "\(name) '\(printable(path))'"
    guard !path.isEmpty, !path.hasSuffix("/") else {
      throw OutputError(what, found: "no name of a file", expected: "one", fix: "For example \(path)result.")
    }
    switch try FileInfo.ifThere(path)?.kind {
    case .folder?:
      throw OutputError(what, found: "a folder", expected: "a file", fix: "Name a file in it.")
    case .other?:  // a pipe or a device takes bytes as it is
      try writable(path, what)
    case .file?, .link?, nil: try place(FileName.split(path).folder, path, what)
    }
  }

  /// A folder to be written into.
  public static func folder(_ path: String, _ name: String) throws {
    let what = "\(name) '\(printable(path))'"
    guard !path.isEmpty else {
      throw OutputError(what, found: "no name", expected: "a folder", fix: "For example out.")
    }
    try place(path, path, what)
  }

  /// A folder in which nothing may be yet.
  public static func emptyFolder(_ path: String, _ name: String) throws {
    try folder(path, name)
    guard let found = try Folder.namesIfThere(path).first else { return }
    throw OutputError(
      "\(name) '\(printable(path))'", found: "'\(printable(found))' in it", expected: "a new or an empty folder",
      fix: "Use another name.", isTaken: true)
  }

  /// A file that is not to be overwritten.
  public static func free(_ path: String, _ name: String, force: Bool) throws {
    try file(path, name)
    guard !force, try FileInfo.ifThere(path)?.kind == .file else { return }
    throw OutputError(
      "\(name) '\(printable(path))'", found: "a file", expected: "a free name",
      fix: "Use another name.", isTaken: true)
  }

  /// Whether `folder` is one that can be written, or can be made below one.
  private static func place(_ folder: String, _ path: String, _ what: String) throws {
    var above = Folder.withoutSlash(folder.isEmpty ? (path.hasPrefix("/") ? "/" : ".") : folder)
    while true {
      if let info = try FileInfo.ifThere(above) {
        guard info.kind == .folder else {
          throw OutputError(
            what, found: "'\(printable(above))' is a file", expected: "a folder", fix: "Use another name.")
        }
        return try writable(above, what)
      }
      if try FileInfo.ifThere(above, following: false) != nil {
        throw OutputError(
          what, found: "'\(printable(above))' is a link to nothing", expected: "a folder", fix: "Remove the link.")
      }
      let next = FileName.split(above).folder
      above = next.isEmpty ? (above.hasPrefix("/") ? "/" : ".") : Folder.withoutSlash(next)
    }
  }

  private static func writable(_ path: String, _ what: String) throws {
    guard withSystemPath(path, { access($0, W_OK) }) != 0 else { return }
    let code = errno
    if code != EROFS, SystemError.isOfMachine(code) { throw SystemError("write there", path, code: code) }
    throw OutputError(
      what, found: "'\(printable(path))' cannot be written (\(SystemError.reason(code)))", expected: "a place to write",
      fix: "Change its permissions, or use another -o.")
  }
}
