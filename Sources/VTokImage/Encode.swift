import CVTokImage

extension Image {
  /// The picture as a PNG file. The same pixels give the same bytes with the same libpng and zlib.
  ///
  /// - Throws: ``ImageError`` `outOfMemory`, or `tooLarge` for a side that libpng cannot write (above 1,000,000).
  public func pngData() throws(ImageError) -> [UInt8] {
    let limit = 1_000_000
    guard max(width, height) <= limit else {
      throw ImageError(.tooLarge, "a PNG of \(size) cannot be written; a side may have at most \(limit) pixels")
    }
    var out: UnsafeMutablePointer<UInt8>?
    var count = 0
    var status = vtok_image_status()
    vtok_png_encode(rgb, UInt32(width), UInt32(height), &out, &count, &status)
    defer { vtok_release(out) }
    guard let out, status.code == 0 else { throw ImageError(status, format: .png) }
    return Array(UnsafeBufferPointer(start: out, count: count))
  }
}
