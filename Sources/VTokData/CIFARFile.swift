import VTokImage
import VTokWeights

/// A CIFAR-10 binary file: records of one label byte and 32 x 32 pixels as three planes, red, green, blue.
/// (Krizhevsky 2009, www.cs.toronto.edu/~kriz/cifar.html)
struct CIFARFile: Sendable {
  static let side = 32
  static let recordBytes = 1 + 3 * side * side
  static let classes = [
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
  ]

  let file: MappedFile
  var path: String { file.path }
  var count: Int { file.count / Self.recordBytes }

  init(_ path: String) throws {
    file = try MappedFile(path: path)
    guard file.count % Self.recordBytes == 0 else {
      throw DataError.binary(
        file: path, found: "\(file.count) bytes", expected: "a multiple of \(Self.recordBytes)",
        fix: "Give a CIFAR-10 binary file, unpacked.")
    }
    for index in 0..<count where label(index) >= Self.classes.count {
      throw DataError.binary(
        file: path, found: "label \(label(index)) in record \(index)", expected: "0 to 9",
        fix: "Give a CIFAR-10 file; CIFAR-100 has two label bytes.")
    }
  }

  func label(_ index: Int) -> Int { file.withBytes { Int($0[index * Self.recordBytes]) } }

  func image(_ index: Int) -> Image {
    let pixels = Self.side * Self.side
    let rgb = file.withBytes { bytes in
      let planes = UnsafeRawBufferPointer(rebasing: bytes[(index * Self.recordBytes + 1)...])
      return [UInt8](unsafeUninitializedCapacity: 3 * pixels) { out, count in
        for pixel in 0..<pixels {
          for channel in 0..<3 { out[3 * pixel + channel] = planes[channel * pixels + pixel] }
        }
        count = 3 * pixels
      }
    }
    return Image(width: Self.side, height: Self.side, rgb: rgb)
  }
}
