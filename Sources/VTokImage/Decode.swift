import CVTokImage

/// A file format that is read and written. In a file it is found from the content; the file's name does not matter.
public enum ImageFormat: String, Sendable, CaseIterable {
  case png, jpeg, webp

  var name: String { self == .webp ? "WebP" : rawValue.uppercased() }

  /// All of them, for messages.
  static let names: String = {
    let names = allCases.map(\.name)
    return names.dropLast().joined(separator: ", ") + " or " + names.last!
  }()
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

/// What becomes of transparency.
public enum AlphaRule: String, Sendable, CaseIterable {
  /// The image is laid on white, as the processors of transformers 5.24 do it.
  case white
  /// Colours are taken as they are stored, however transparent: Pillow's `convert("RGB")`.
  case drop
}

/// Limits and choices of decoding.
public struct DecodeOptions: Sendable, Equatable {
  /// More pixels than this are refused before memory is taken for them.
  public var maxPixels: Int
  /// Leave the image as it is stored, instead of turning it upright by its EXIF orientation as the image loaders of
  /// transformers do.
  public var rawOrientation: Bool
  public var alpha: AlphaRule

  public init(maxPixels: Int = 100_000_000, rawOrientation: Bool = false, alpha: AlphaRule = .white) {
    self.maxPixels = maxPixels
    self.rawOrientation = rawOrientation
    self.alpha = alpha
  }
}

extension Image {
  /// Longest side that is read. Padding such a picture to a square must stay possible.
  public static let maxSide = 65_535

  /// Decodes a PNG, JPEG or WebP file.
  ///
  /// The image is turned upright by its EXIF orientation (JPEG APP1, PNG `eXIf`, WebP `EXIF`; one that stands in XMP
  /// alone is ignored, and so is broken EXIF data) and laid on white where it is transparent; ``DecodeOptions`` says
  /// otherwise. Transparency comes from alpha channels and from `tRNS` of palettes, grey and RGB. A sample on white is
  /// `(a * c + (255 - a) * 255) / 255`, rounded, as in Pillow's `alpha_composite`.
  ///
  /// The samples are those of Pillow: grey repeated, palettes looked up, gamma and profiles ignored, inverted (Adobe)
  /// inks as `R = C * K / 255`, the first image of an animated PNG. Where a sample has 16 bits its high byte is taken;
  /// Pillow does so in colour, but makes 16-bit grey white from 255 on, which is not copied. A transparent colour is
  /// compared in the bits of the file, as PNG has it. The same file gives the same pixels on every processor.
  ///
  /// Damaged or cut data is an error, never a part of an image. A progressive JPEG that does not send every bit of every
  /// coefficient counts as cut, even if it ends properly.
  ///
  /// - Throws: ``ImageError`` of any kind, with the path in its message. A pipe, folder or device is `unreadable`; it
  ///   does not block.
  public static func decode(
    contentsOf path: String, options: DecodeOptions = .init()
  ) throws(ImageError) -> DecodedImage {
    try ImageFile(path: path).decoded(options: options)
  }

  /// Decodes the bytes of a PNG, JPEG or WebP file; see ``decode(contentsOf:options:)``.
  ///
  /// - Throws: ``ImageError`` of any kind but `unreadable`.
  public static func decode(_ bytes: [UInt8], options: DecodeOptions = .init()) throws(ImageError) -> DecodedImage {
    let format = try format(of: bytes)
    var header = vtok_image_header()
    var status = vtok_image_status()
    switch format {
    case .png: vtok_png_header(bytes, bytes.count, &header, &status)
    case .jpeg: vtok_jpeg_header(bytes, bytes.count, &header, &status)
    case .webp: vtok_webp_header(bytes, bytes.count, &header, &status)
    }
    guard status.code == 0 else { throw ImageError(status, format: format) }
    let size = Size(width: Int(header.width), height: Int(header.height))
    let orientation = Int(header.orientation)
    let turn = options.rawOrientation ? 1 : orientation
    try check(turn >= 5 ? size.transposed : size, options)

    let rgb = try samples(size.width * size.height * 3, for: size) { rgb in
      let white: Int32 = options.alpha == .white ? 1 : 0
      switch format {
      case .png: vtok_png_decode(bytes, bytes.count, white, rgb, &status)
      case .jpeg: vtok_jpeg_decode(bytes, bytes.count, rgb, &status)
      case .webp: vtok_webp_decode(bytes, bytes.count, white, rgb, &status)
      }
      return status.code == 0
    }
    guard status.code == 0 else { throw ImageError(status, format: format) }
    var image = Image(width: size.width, height: size.height, rgb: rgb)
    if turn > 1 {
      try checkMemory(rgb.count, for: size)
      image = image.oriented(turn)
    }
    return DecodedImage(image: image, format: format, orientation: orientation)
  }

  /// `count` samples that `fill` writes; none if it fails.
  private static func samples(
    _ count: Int, for size: Size, _ fill: (UnsafeMutablePointer<UInt8>?) -> Bool
  ) throws(ImageError) -> [UInt8] {
    try checkMemory(count, for: size)
    return [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      initialized = fill(buffer.baseAddress) ? count : 0
    }
  }

  private static func checkMemory(_ count: Int, for size: Size) throws(ImageError) {
    guard vtok_can_allocate(count) != 0 else {
      throw ImageError(.outOfMemory, "not enough memory for \(size) pixels (\(count) bytes)")
    }
  }

  private static func format(of bytes: [UInt8]) throws(ImageError) -> ImageFormat {
    guard !bytes.isEmpty else {
      throw ImageError(.corrupt, "the file is empty; expected a \(ImageFormat.names) image")
    }
    var name: UnsafePointer<CChar>?
    var remedy: UnsafePointer<CChar>?
    switch vtok_image_format(UInt32(vtok_sniff(bytes, bytes.count, &name, &remedy))) {
    case VTOK_FORMAT_PNG: return .png
    case VTOK_FORMAT_JPEG: return .jpeg
    case VTOK_FORMAT_WEBP: return .webp
    default: break
    }
    guard let name, let remedy else {
      throw ImageError(
        .unsupportedFormat, "this is no image of a known format; expected \(ImageFormat.names) content")
    }
    throw ImageError(
      .unsupportedFormat,
      "this is \(String(cString: name)); expected \(ImageFormat.names), \(String(cString: remedy))")
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
