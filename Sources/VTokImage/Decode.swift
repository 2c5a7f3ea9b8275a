import CVTokImage

/// A file format that is read. It is found from the content; the file's name does not matter.
public enum ImageFormat: String, Sendable {
  case png, jpeg

  var name: String { rawValue.uppercased() }
}

/// A decoded file.
public struct DecodedImage: Sendable, Equatable {
  public let image: Image
  public let format: ImageFormat
  /// EXIF orientation 1...8 as stored; 1 where the file has none.
  public let orientation: Int

  public init(image: Image, format: ImageFormat, orientation: Int = 1) {
    self.image = image
    self.format = format
    self.orientation = orientation
  }
}

/// Limits and choices of decoding.
public struct DecodeOptions: Sendable, Equatable {
  /// More pixels than this are refused before memory is taken for them.
  public var maxPixels: Int
  /// Turn the picture upright by its EXIF orientation. Off by default: neither timm nor the Hugging Face processors
  /// do it, so published accuracies are without it.
  public var applyEXIF: Bool

  public init(maxPixels: Int = 100_000_000, applyEXIF: Bool = false) {
    self.maxPixels = maxPixels
    self.applyEXIF = applyEXIF
  }
}

extension Image {
  /// Longest side that is read. Padding such a picture to a square must stay possible.
  public static let maxSide = 65_535

  /// Decodes a PNG or JPEG file.
  ///
  /// The pixels are those of Pillow's `Image.open(path).convert("RGB")`: alpha dropped without compositing, grey
  /// repeated, palettes looked up, 16 bits by their high byte, gamma and profiles ignored, inverted (Adobe) inks as
  /// `R = C * K / 255`. Damaged or cut data is an error, never a partial picture.
  ///
  /// - Throws: ``ImageError`` of any kind, with the path in its message. A pipe, folder or device is `unreadable`; it
  ///   does not block.
  public static func decode(
    contentsOf path: String, options: DecodeOptions = .init()
  ) throws(ImageError) -> DecodedImage {
    let bytes = try readFile(path)
    do {
      return try decode(bytes, options: options)
    } catch {
      throw error.named(path)
    }
  }

  /// Decodes the bytes of a PNG or JPEG file; see ``decode(contentsOf:options:)``.
  ///
  /// - Throws: ``ImageError`` of any kind but `unreadable`.
  public static func decode(_ bytes: [UInt8], options: DecodeOptions = .init()) throws(ImageError) -> DecodedImage {
    let format = try format(of: bytes)
    var header = vtok_image_header()
    var status = vtok_image_status()
    switch format {
    case .png: vtok_png_header(bytes, bytes.count, &header, &status)
    case .jpeg: vtok_jpeg_header(bytes, bytes.count, &header, &status)
    }
    guard status.code == 0 else { throw ImageError(status, format: format) }
    let size = Size(width: Int(header.width), height: Int(header.height))
    try check(size, options)

    let count = size.width * size.height * 3
    guard vtok_can_allocate(count) != 0 else {
      throw ImageError(.outOfMemory, "not enough memory for \(size) pixels (\(count) bytes)")
    }
    let rgb = [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      switch format {
      case .png: vtok_png_decode(bytes, bytes.count, buffer.baseAddress, &status)
      case .jpeg: vtok_jpeg_decode(bytes, bytes.count, buffer.baseAddress, &status)
      }
      initialized = status.code == 0 ? count : 0
    }
    guard status.code == 0 else { throw ImageError(status, format: format) }
    let image = Image(width: size.width, height: size.height, rgb: rgb)
    let orientation = Int(header.orientation)
    return DecodedImage(
      image: options.applyEXIF ? image.oriented(orientation) : image, format: format, orientation: orientation)
  }

  private static func format(of bytes: [UInt8]) throws(ImageError) -> ImageFormat {
    guard !bytes.isEmpty else { throw ImageError(.corrupt, "the file is empty; expected a PNG or JPEG picture") }
    var name: UnsafePointer<CChar>?
    switch vtok_image_format(UInt32(vtok_sniff(bytes, bytes.count, &name))) {
    case VTOK_FORMAT_PNG: return .png
    case VTOK_FORMAT_JPEG: return .jpeg
    default: break
    }
    guard let name else {
      throw ImageError(.unsupportedFormat, "this is no picture of a known format; expected PNG or JPEG content")
    }
    throw ImageError(
      .unsupportedFormat, "unsupported format \(String(cString: name)); expected PNG or JPEG, convert it first")
  }

  private static func check(_ size: Size, _ options: DecodeOptions) throws(ImageError) {
    guard size.width > 0, size.height > 0 else {
      throw ImageError(.corrupt, "its size is \(size); both sides must be at least 1")
    }
    guard max(size.width, size.height) <= maxSide else {
      throw ImageError(.tooLarge, "its size is \(size); a side may have at most \(maxSide) pixels, scale it down first")
    }
    // Both sides are below 2^16 here, so the product is exact.
    guard size.width * size.height <= options.maxPixels else {
      throw ImageError(
        .tooLarge,
        "its size is \(size), \(size.width * size.height) pixels; at most \(options.maxPixels) are allowed, "
          + "raise the limit or scale it down first")
    }
  }
}
