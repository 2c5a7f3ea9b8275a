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
    return try encoded(.png) { out, count, status in
      vtok_png_encode(rgb, UInt32(width), UInt32(height), &out, &count, &status)
    }
  }

  /// The picture as a JPEG file: 4:2:0, Huffman tables made for it.
  ///
  /// - Parameter quality: 1 to 100, libjpeg's scale.
  /// - Throws: ``ImageError`` `outOfMemory`, or `tooLarge` for a side above 65,500.
  public func jpegData(quality: Int) throws(ImageError) -> [UInt8] {
    precondition((1...100).contains(quality), "a JPEG quality of \(quality)")
    let limit = 65_500
    guard max(width, height) <= limit else {
      throw ImageError(.tooLarge, "a JPEG of \(size) cannot be written; a side may have at most \(limit) pixels")
    }
    return try encoded(.jpeg) { out, count, status in
      vtok_jpeg_encode(rgb, UInt32(width), UInt32(height), Int32(quality), &out, &count, &status)
    }
  }

  private func encoded(
    _ format: ImageFormat, _ encode: (inout UnsafeMutablePointer<UInt8>?, inout Int, inout vtok_image_status) -> Void
  ) throws(ImageError) -> [UInt8] {
    var out: UnsafeMutablePointer<UInt8>?
    var count = 0
    var status = vtok_image_status()
    encode(&out, &count, &status)
    defer { vtok_release(out) }
    guard let out, status.code == 0 else { throw ImageError(status, format: format) }
    return Array(UnsafeBufferPointer(start: out, count: count))
  }
}
