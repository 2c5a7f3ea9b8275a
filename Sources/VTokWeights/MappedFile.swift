import VTokFiles
import VTokLibC
import VTokTensor

/// Read-only bytes that stay where they are: a mapped file, or memory that lives as long as the process.
///
/// Opening reads nothing; pages come in when they are touched. A file must not be shortened while it is mapped: the
/// system ends a process that touches a page behind the end.
public final class MappedFile: MappedMemory, @unchecked Sendable {
  /// Path of the file, or the name given to the memory.
  public let path: String
  /// Valid only while this object lives, which Swift may end after its last use: prefer `withBytes`.
  package let bytes: UnsafeRawBufferPointer
  /// Number of bytes.
  public var count: Int { bytes.count }
  private let isMapped: Bool
  private let release: (UnsafeRawBufferPointer) -> Void

  /// Maps a regular file; links are followed. Never blocks on a pipe or a device.
  public init(path: String) throws(WeightError) {
    let descriptor = withSystemPath(path) { open($0, O_RDONLY | O_NONBLOCK | O_CLOEXEC) }
    guard descriptor >= 0 else { throw Self.failure(errno, path) }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw Self.failure(errno, path) }
    guard status.st_mode & S_IFMT == S_IFREG else {
      let found = status.st_mode & S_IFMT == S_IFDIR ? "a folder" : "a pipe, socket or device"
      throw WeightError(.notAFile, path, found: found, expected: "a regular file", fix: "Give the path of a file.")
    }
    guard status.st_size > 0 else {
      throw WeightError(
        .emptyFile, path, found: "0 bytes", expected: "a file with content",
        fix: "The download stopped early: fetch the file again.")
    }
    let size = Int(status.st_size)
    guard let base = mmap(nil, size, PROT_READ, MAP_PRIVATE, descriptor, 0), base != MAP_FAILED else {
      throw Self.failure(errno, path)
    }
    self.path = path
    bytes = UnsafeRawBufferPointer(start: base, count: size)
    isMapped = true
    release = { munmap(UnsafeMutableRawPointer(mutating: $0.baseAddress!), $0.count) }
  }

  /// Wraps memory that is never freed, such as data compiled into the program. Nothing is copied.
  public init(memory: UnsafeRawBufferPointer, name: String) {
    path = name
    bytes = memory
    isMapped = false
    release = { _ in }
  }

  /// A copy of `copy`, aligned to a cache line.
  public init(copying copy: UnsafeRawBufferPointer, name: String) {
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: max(copy.count, 1), alignment: 64)
    memory.copyMemory(from: copy)
    path = name
    bytes = UnsafeRawBufferPointer(rebasing: memory[..<copy.count])
    isMapped = false
    release = { _ in memory.deallocate() }
  }

  deinit { release(bytes) }

  /// Pages that end in `part` leave the memory of this process; the system keeps them as long as it likes.
  package func forget(_ part: UnsafeRawBufferPointer) {
    guard isMapped, let start = part.baseAddress, !part.isEmpty else { return }
    let page = sysconf(Int32(_SC_PAGESIZE))
    let first = (start - bytes.baseAddress!) / page * page
    let end = (start + part.count - bytes.baseAddress!) / page * page
    guard end > first else { return }
    madvise(UnsafeMutableRawPointer(mutating: bytes.baseAddress! + first), end - first, MADV_DONTNEED)
  }

  /// Calls `body` with all bytes; the pointer must not leave it.
  public func withBytes<Result, Failure: Error>(
    _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    defer { withExtendedLifetime(self) {} }
    return try body(bytes)
  }

  private static func failure(_ code: Int32, _ path: String) -> WeightError {
    let shown = printable(path)
    switch code {
    case ENOENT where (try? FileInfo(path, following: false))?.kind == .link:
      return WeightError(
        .missingFile, shown, found: "a link to nothing", expected: "a file",
        fix: "The folder is half downloaded or was moved without its files: fetch it again.")
    case ENOENT, ENOTDIR:
      return WeightError(.missingFile, shown, found: "nothing", expected: "a file", fix: "Check the path.")
    case EACCES, EPERM:
      return WeightError(
        .unreadableFile, shown, found: "no permission to read it", expected: "a readable file",
        fix: "Change its permissions, or run as its owner.")
    case ENOMEM:
      return WeightError(
        .unreadableFile, shown, found: "the process out of memory (\(SystemError.reason(code)))",
        expected: "room to map the file", fix: "Free memory, or allow more (ulimit -v).")
    default:
      return WeightError(
        .unreadableFile, shown, found: "an error of the system (\(SystemError.reason(code)))",
        expected: "a readable file", fix: "Check the path and the disk.")
    }
  }
}
