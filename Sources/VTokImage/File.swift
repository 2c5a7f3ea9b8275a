import CVTokImage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Largest file that is read, in bytes.
let maxFileBytes = 1 << 30

/// The bytes of a regular file.
///
/// - Throws: ``ImageError`` `unreadable`, `tooLarge` or `outOfMemory` with the path in its message.
func readFile(_ path: String) throws(ImageError) -> [UInt8] {
  // O_NONBLOCK, because opening a pipe waits for its writer otherwise. It means nothing for regular files.
  let file = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY)
  guard file >= 0 else { throw systemError(path) }
  defer { close(file) }
  var info = stat()
  guard fstat(file, &info) == 0 else { throw systemError(path) }
  switch info.st_mode & S_IFMT {
  case S_IFREG: break
  case S_IFDIR: throw ImageError(.unreadable, "this is a folder; expected a \(ImageFormat.names) file").named(path)
  default: throw ImageError(.unreadable, "this is a pipe, socket or device; expected a regular file").named(path)
  }
  let tooLarge = ImageError(.tooLarge, "the file is larger than the limit of \(maxFileBytes) bytes").named(path)
  guard info.st_size <= maxFileBytes else { throw tooLarge }
  guard vtok_can_allocate(Int(info.st_size)) != 0 else {
    throw ImageError(.outOfMemory, "not enough memory for the file's \(info.st_size) bytes").named(path)
  }
  // The size is a hint only: the file may change while it is read.
  var bytes = [UInt8]()
  bytes.reserveCapacity(Int(info.st_size))
  var block = [UInt8](repeating: 0, count: 1 << 16)
  while true {
    let count = read(file, &block, block.count)
    if count == 0 { return bytes }
    if count < 0 {
      if errno == EINTR { continue }
      throw systemError(path)
    }
    bytes += block[..<count]
    guard bytes.count <= maxFileBytes else { throw tooLarge }
  }
}

/// What the last failed system call says.
private func systemError(_ path: String) -> ImageError {
  ImageError(.unreadable, "cannot read the file: \(String(cString: strerror(errno)))").named(path)
}
