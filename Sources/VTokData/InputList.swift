import VTokFiles
import VTokImage

/// One picture or video of a job.
public struct InputFile: Sendable, Equatable {
  /// Where its bytes are.
  public enum Place: Sendable, Equatable {
    /// They are the file.
    case file
    /// In the archive at the path.
    case archive(offset: Int, size: Int)
    /// In the pictures at these paths: the frames of a video, whose folder is at the path.
    case frames([String])
    /// Nowhere: the archive at the path is damaged, from here on, or the folder there is no video.
    case fault(ImageError)
  }

  /// Path to open.
  public let path: String
  /// Name in manifests: relative to the folder it was found in. A name that is no UTF-8 is written as `FileName` says.
  public let name: String
  public let place: Place

  public init(path: String, name: String, place: Place = .file) {
    self.path = path
    self.name = name
    self.place = place
  }

  /// Files that its bytes are in.
  package var paths: [String] { if case .frames(let frames) = place { frames } else { [path] } }

  /// Bytes that it has, where the system says this of the files at its paths; nil for one that cannot be read.
  package func size(_ infos: [FileInfo]) -> Int? {
    switch place {
    case .file, .frames: infos.reduce(0) { $0 + $1.size }
    case .archive(_, let size): size
    case .fault: nil
    }
  }

  /// - Throws: `ImageError` for a file that cannot be read, with the path, or the name in an archive; for a video.
  public func read() throws(ImageError) -> ImageFile {
    switch place {
    case .file: return try ImageFile(path: path)
    case .archive(let offset, let size): return try ImageFile(name, in: path, at: offset, size: size)
    case .frames(let frames):
      throw ImageError(.frames, "a video of \(frames.count) frames; expected a picture").named(path)
    case .fault(let error): throw error
    }
  }
}

/// What cannot be the input of a job.
public enum InputError: OneLineError, Equatable {
  case missing(String)
  case noImages(String)
  case unreadable(String, reason: String)
  /// The output folder given as an input, or nothing besides it.
  case output(String)

  public var message: String {
    switch self {
    case .missing(let path):
      "input '\(printable(path))': no such file or folder, expected an image or a folder. Check the path."
    case .noImages(let path):
      "input '\(printable(path))': no image files, expected at least one "
        + "(\(InputList.endings.sorted().joined(separator: ", "))), or tar archives of them. "
        + "Name files one by one if they have other endings."
    case .unreadable(let path, let reason):
      "input '\(printable(path))': it cannot be read (\(reason)), expected a folder that can. Change its permissions."
    case .output(let path):
      "input '\(printable(path))': the output is there, expected inputs outside of it. "
        + "Use another -o: what a job writes is never its input."
    }
  }
}

/// The inputs of a job.
public struct InputList: Sendable {
  /// File name endings a folder scan takes for images. What is inside decides later, so pictures of formats that are
  /// not read become error rows instead of vanishing.
  public static let endings: Set<String> = [
    "png", "jpg", "jpeg", "jpe", "jfif", "gif", "bmp", "webp", "tif", "tiff", "avif", "heic", "heif", "jp2", "jxl",
  ]

  public private(set) var files: [InputFile] = []
  /// Inputs that were named and lie inside the job's own output: they are left out.
  public private(set) var leftOut = 0

  private let outputs: Outputs

  /// Folders (recursive, sorted by path), files as given, and the pictures in tar archives (`.tar`, WebDataset's shards), named
  /// below the archive. Links to folders are followed once each, so loops end. A folder
  /// in it that cannot be read is an input of its own, so that a row tells of it.
  /// - Parameter outputs: what the job writes, files or folders. What is in them is no input, links to it neither.
  /// - Throws: `InputError` for a path that does not exist, for a folder without any image, and for inputs that are all in
  ///   the output; `SystemError` of the machine.
  public static func find(_ paths: [String], outside outputs: [String] = []) throws -> InputList {
    var list = InputList(outputs: Outputs(outputs))
    for path in paths { try list.add(path, among: paths.count) }
    if list.files.isEmpty, !paths.isEmpty { throw InputError.output(paths[0]) }
    return list
  }

  /// Paths as a list gives them: one a line, bytes as they are. They need not exist: rows tell of those that do not.
  /// Archives stand for the pictures in them.
  /// - Throws: `SystemError` of the machine.
  public static func listed(_ bytes: [UInt8], outside outputs: [String] = []) throws -> InputList {
    var list = InputList(outputs: Outputs(outputs))
    for path in lines(bytes) {
      if list.outputs.contain(path) {
        list.leftOut += 1
      } else if Self.isArchive(path), try FileInfo.ifThere(path)?.kind == .file {
        list.files += try Archive.pictures(path, name: path)
      } else {
        list.files.append(InputFile(path: path, name: path))
      }
    }
    return list
  }

  /// The paths of a list, without empty lines.
  static func lines(_ bytes: [UInt8]) -> [String] {
    bytes.split(separator: UInt8(ascii: "\n")).compactMap { line in
      let bytes = line.last == UInt8(ascii: "\r") ? line.dropLast() : line
      return bytes.isEmpty ? nil : FileName.text(bytes)
    }
  }

  public static func + (one: InputList, other: InputList) -> InputList {
    var both = one
    both.files += other.files
    both.leftOut += other.leftOut
    return both
  }

  private init(outputs: Outputs) { self.outputs = outputs }

  private mutating func add(_ path: String, among count: Int) throws {
    // A dangling or looping link exists as a name: it becomes an error row of the job.
    guard try FileInfo.ifThere(path, following: false) != nil else { throw InputError.missing(path) }
    if outputs.contain(path) {
      leftOut += 1
      return
    }
    guard let info = try FileInfo.ifThere(path), info.kind == .folder else {
      if Self.isArchive(path), try FileInfo.ifThere(path)?.kind == .file {
        let found = try Archive.pictures(path, name: path)
        if found.isEmpty { throw InputError.noImages(path) }
        files += found
      } else {
        files.append(InputFile(path: path, name: path))
      }
      return
    }
    let before = files.count
    var scan = Scan(root: path, outputs: outputs)
    try scan.enter("", info)
    if scan.names.isEmpty { throw InputError.noImages(path) }
    scan.names.sort { $0.lexicographicallyPrecedes($1) }
    let prefix = count > 1 ? OutputNames.cleaned(path) + "/" : ""
    for bytes in scan.names {
      let name = FileName.text(bytes)
      if Self.isArchive(name), try FileInfo.ifThere(path + "/" + name)?.kind == .file {
        files += try Archive.pictures(path + "/" + name, name: prefix + name)
      } else {
        files.append(InputFile(path: path + "/" + name, name: prefix + name))
      }
    }
    if files.count == before { throw InputError.noImages(path) }
  }

  static func isArchive(_ name: String) -> Bool { name.lowercased().hasSuffix(".tar") }

  /// Compressed archives are not read. A folder scan takes them as it takes pictures of other formats: a whole shard must not
  /// vanish without a row that says so.
  static func isPacked(_ name: String) -> Bool {
    let name = name.lowercased()
    return [".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst"].contains { name.hasSuffix($0) }
  }

  /// A walk through one folder.
  private struct Scan {
    let root: String
    let outputs: Outputs
    var names: [[UInt8]] = []
    private var visited: Set<FileInfo.Identity> = []

    init(root: String, outputs: Outputs) {
      self.root = root
      self.outputs = outputs
    }

    mutating func enter(_ relative: String, _ info: FileInfo) throws {
      guard visited.insert(info.identity).inserted, !outputs.are(info) else { return }
      let folder = relative.isEmpty ? root : root + "/" + relative
      let entries: [String]
      do throws(SystemError) { entries = try Folder.names(folder) } catch {
        if error.isOfMachine { throw error }
        if relative.isEmpty { throw InputError.unreadable(root, reason: error.reason) }
        names.append(FileName.bytes(relative))
        return
      }
      for entry in entries where !entry.hasPrefix(".") {
        let name = relative.isEmpty ? entry : relative + "/" + entry
        let path = root + "/" + name
        let own = try FileInfo.ifThere(path, following: false)
        let isLink = own?.kind == .link
        let target = isLink ? try FileInfo.ifThere(path) : own
        if isLink, outputs.contain(path) { continue }
        if let target, target.kind == .folder {
          try enter(name, target)
        } else if InputList.isImage(entry) || InputList.isArchive(entry) || InputList.isPacked(entry),
          target.map({ !outputs.are($0) }) ?? true
        {
          names.append(FileName.bytes(name))
        }
      }
    }
  }

  static func isImage(_ name: String) -> Bool {
    guard let dot = name.utf8.lastIndex(of: UInt8(ascii: ".")), dot > name.utf8.startIndex else { return false }
    return endings.contains(String(name[name.utf8.index(after: dot)...]).lowercased())
  }
}

/// Files and folders that a job writes, as they are at its start. What is not there yet contains nothing.
private struct Outputs: Sendable {
  private let paths: [[UInt8]]
  private let identities: Set<FileInfo.Identity>

  init(_ outputs: [String]) {
    let there = outputs.compactMap { path in realPath(path).map { ($0, try? FileInfo(path)) } }
    paths = there.map { FileName.bytes($0.0) }
    identities = Set(there.compactMap { $0.1?.identity })
  }

  func are(_ info: FileInfo) -> Bool { identities.contains(info.identity) }

  /// Whether a path leads there, through links too.
  func contain(_ path: String) -> Bool {
    guard !paths.isEmpty, let real = realPath(path).map(FileName.bytes) else { return false }
    return paths.contains { real.starts(with: $0) && (real.count == $0.count || $0 == [47] || real[$0.count] == 47) }
  }
}
