import CVTokAPI
import VTok

/// `vtok_image`, decoded.
struct Picture {
  let image: Image
  /// nil for pixels.
  let format: ImageFormat?
  /// In messages, seeds and rows; nil for an image without name and path.
  let name: String?

  init(_ given: UnsafePointer<vtok_image>?, _ options: DecodeOptions) throws {
    guard let given = given?.pointee else {
      throw ArgumentError("image", found: "NULL", expected: "a vtok_image", fix: "Give its address.")
    }
    let path = path(given.path)
    name = VTokC.path(given.name) ?? path
    if let path {
      guard given.data == nil else {
        throw ArgumentError("image", found: "both path and data", expected: "one of them", fix: "Leave one out.")
      }
      let file = try Image.decode(contentsOf: path, options: options)
      (image, format) = (file.image, file.format)
      return
    }
    guard let data = given.data else {
      throw ArgumentError("image", found: "neither path nor data", expected: "one of them", fix: "Give one.")
    }
    let bytes = UnsafeRawBufferPointer(start: data, count: given.length)
    if given.width == 0, given.height == 0 {
      do throws(ImageError) {
        let file = try Image.decode(Array(bytes), options: options)
        (image, format) = (file.image, file.format)
      } catch { throw name.map { error.named($0) } ?? error }
    } else {
      image = try Self.pixels(bytes, width: Int(given.width), height: Int(given.height), stride: Int(given.stride))
      format = nil
    }
  }

  private static func pixels(
    _ bytes: UnsafeRawBufferPointer, width: Int, height: Int, stride: Int
  ) throws(ArgumentError) -> Image {
    guard (1...Image.maxSide).contains(width), (1...Image.maxSide).contains(height) else {
      throw ArgumentError(
        "image", found: "\(width)x\(height) pixels", expected: "sides in 1...\(Image.maxSide)", fix: "Scale it down.")
    }
    let row = 3 * width
    let step = stride == 0 ? row : stride
    guard step >= row, step <= 1 << 40, bytes.count >= (height - 1) * step + row else {
      throw ArgumentError(
        "image", found: "\(bytes.count) bytes, \(step) from row to row",
        expected: "\(width)x\(height) RGB pixels of 8 bits",
        fix: "Give length, and stride unless rows follow each other.")
    }
    let rgb = [UInt8](unsafeUninitializedCapacity: row * height) { buffer, count in
      let target = UnsafeMutableRawBufferPointer(buffer)
      if step == row {
        target.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[..<(row * height)]))
      } else {
        for y in 0..<height {
          let line = UnsafeRawBufferPointer(rebasing: bytes[(y * step)..<(y * step + row)])
          UnsafeMutableRawBufferPointer(rebasing: target[(y * row)...]).copyMemory(from: line)
        }
      }
      count = row * height
    }
    return Image(width: width, height: height, rgb: rgb)
  }
}
