import CVTokImage

extension ImageFormat {
  /// Endings of file names, the usual one first.
  public var endings: [String] {
    switch self {
    case .png: ["png"]
    case .jpeg: ["jpg", "jpeg", "jpe", "jfif"]
    case .webp: ["webp"]
    }
  }

  /// The format that a file of this name should have by its ending, in any case; nil for other endings and without one.
  public init?(endingOf path: String) {
    let name = path.split(separator: "/", omittingEmptySubsequences: false).last ?? ""
    guard let dot = name.lastIndex(of: ".") else { return nil }
    let ending = name[name.index(after: dot)...].lowercased()
    guard let format = Self.allCases.first(where: { $0.endings.contains(ending) }) else { return nil }
    self = format
  }
}

extension Image {
  /// The image as a file of `format`: PNG and WebP without loss, JPEG at quality 95.
  ///
  /// - Throws: ``ImageError`` `outOfMemory`, or `tooLarge` for a side that the format does not have.
  public func data(as format: ImageFormat) throws(ImageError) -> [UInt8] {
    switch format {
    case .png: try pngData()
    case .jpeg: try jpegData(quality: 95)
    case .webp: try webpData()
    }
  }

  /// The picture as a PNG file. The same pixels give the same bytes with the same libpng and zlib.
  ///
  /// - Throws: ``ImageError`` `outOfMemory`, or `tooLarge` for a side that libpng cannot write (above 1,000,000).
  public func pngData() throws(ImageError) -> [UInt8] {
    try encoded(.png, side: 1_000_000) { out, count, status in
      vtok_png_encode(rgb, UInt32(width), UInt32(height), &out, &count, &status)
    }
  }

  /// The picture as a JPEG file: 4:2:0, Huffman tables made for it.
  ///
  /// - Parameter quality: 1 to 100, libjpeg's scale.
  /// - Throws: ``ImageError`` `outOfMemory`, or `tooLarge` for a side above 65,500.
  public func jpegData(quality: Int) throws(ImageError) -> [UInt8] {
    precondition((1...100).contains(quality), "a JPEG quality of \(quality)")
    return try encoded(.jpeg, side: 65_500) { out, count, status in
      vtok_jpeg_encode(rgb, UInt32(width), UInt32(height), Int32(quality), &out, &count, &status)
    }
  }

  /// The image as a lossless WebP file.
  ///
  /// - Throws: ``ImageError`` `outOfMemory`, or `tooLarge` for a side above 16,383.
  public func webpData() throws(ImageError) -> [UInt8] {
    try encoded(.webp, side: 16_383) { out, count, status in
      vtok_webp_encode(rgb, UInt32(width), UInt32(height), &out, &count, &status)
    }
  }

  private func encoded(
    _ format: ImageFormat, side limit: Int,
    _ encode: (inout UnsafeMutablePointer<UInt8>?, inout Int, inout vtok_image_status) -> Void
  ) throws(ImageError) -> [UInt8] {
    guard max(width, height) <= limit else {
      throw ImageError(
        .tooLarge, "a \(format.name) file of \(size) cannot be written; a side may have at most \(limit) pixels")
    }
    var out: UnsafeMutablePointer<UInt8>?
    var count = 0
    var status = vtok_image_status()
    encode(&out, &count, &status)
    defer { vtok_release(out) }
    guard let out, status.code == 0 else { throw ImageError(status, format: format) }
    return Array(UnsafeBufferPointer(start: out, count: count))
  }
}
