import VTokLibC

/// Folders by their real names: those that are no UTF-8 included.
public enum Folder {
  /// Names in a folder, without `.` and `..`, in no order.
  public static func names(_ path: String) throws(SystemError) -> [String] {
    guard let folder = withSystemPath(path, { opendir($0) }) else {
      throw SystemError("read the folder", path, code: errno)
    }
    defer { closedir(folder) }
    var names: [String] = []
    while true {
      errno = 0
      guard let entry = readdir(folder) else {
        if errno != 0 { throw SystemError("read the folder", path, code: errno) }
        return names
      }
      let start = UnsafeRawPointer(entry) + MemoryLayout<dirent>.offset(of: \dirent.d_name)!
      let name = UnsafeRawBufferPointer(start: start, count: strlen(start.assumingMemoryBound(to: CChar.self)))
      if name.elementsEqual(".".utf8) || name.elementsEqual("..".utf8) { continue }
      names.append(FileName.text(name))
    }
  }

  /// The same; nothing for a folder that is not there.
  public static func namesIfThere(_ path: String) throws(SystemError) -> [String] {
    do { return try names(path) } catch {
      if error.code == ENOENT { return [] }
      throw error
    }
  }

  /// Makes a folder and those above it.
  public static func make(_ path: String) throws(SystemError) {
    if path.isEmpty { return }
    if made(path) { return }
    if errno == ENOENT, case let above = FileName.split(withoutSlash(path)).folder, !above.isEmpty {
      try make(above)
      if made(path) { return }
    }
    throw SystemError("make the folder", path, code: errno == EEXIST ? ENOTDIR : errno)
  }

  /// Makes the folder that a file goes into.
  public static func makeAbove(_ path: String) throws(SystemError) { try make(FileName.split(path).folder) }

  /// Whether there is a folder now; else `errno` has the reason.
  private static func made(_ path: String) -> Bool {
    if withSystemPath(path, { mkdir($0, 0o777) }) == 0 { return true }
    let code = errno
    let isThere = code == EEXIST && (try? FileInfo(path))?.kind == .folder
    errno = code
    return isThere
  }

  /// Removes a file, or a folder with all that is in it. Links go, what they point to stays. Nothing there is no error.
  public static func remove(_ path: String) throws(SystemError) {
    guard let info = try FileInfo.ifThere(path, following: false) else { return }
    if info.kind == .folder {
      for name in try names(path) { try remove(path + "/" + name) }
    }
    let isGone = withSystemPath(path) { (info.kind == .folder ? rmdir($0) : unlink($0)) == 0 } || errno == ENOENT
    if !isGone { throw SystemError("remove it", path, code: errno) }
  }

  /// Gives a file another name, in place of what has it.
  public static func move(_ path: String, to other: String) throws(SystemError) {
    guard withSystemPath(path, { from in withSystemPath(other) { rename(from, $0) } }) == 0 else {
      throw SystemError("rename it", path, code: errno)
    }
  }

  /// A path without slashes at its end.
  public static func withoutSlash(_ path: String) -> String {
    var path = path
    while path.count > 1, path.hasSuffix("/") { path.removeLast() }
    return path
  }
}
