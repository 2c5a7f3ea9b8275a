/// The checked header of one GGUF file. Everything in it is hostile until proven otherwise.
struct GGUFHeader {
  private(set) var version = 0
  private(set) var metadata = GGUFMetadata()
  private(set) var entries: [TensorEntry] = []  // in the order of their bytes
  private let file: MappedFile
  private var alignment = 32

  /// A tensor as it is described: where it begins is known once all are read.
  private struct Described {
    let name: String, type: ElementType, shape: [Int], bytes: Int, offset: UInt64
  }

  init(_ bytes: UnsafeRawBufferPointer, of file: MappedFile) throws(WeightError) {
    self.file = file
    try checkMagic(bytes)
    var reader = GGUFReader(bytes, path: file.path, at: 4, budget: .tensorList)
    try readVersion(&reader)
    let tensors: UInt64 = try reader.number("the number of tensors")
    let values: UInt64 = try reader.number("the number of values")
    // The smallest records: a key of one byte with a byte as value; a name of one byte and one axis.
    guard values <= UInt64(reader.left / 14) else {
      throw reader.refuse(
        .headerLength, "\(values) values of metadata in \(reader.left) bytes", "a file that is whole")
    }
    for _ in 0..<values { try readValue(&reader) }
    guard tensors <= UInt64(reader.left / 33) else {
      throw reader.refuse(.headerLength, "\(tensors) tensors in \(reader.left) bytes", "a file that is whole")
    }
    var described: [Described] = []
    var names: Set<ExactString> = []
    for _ in 0..<tensors {
      let tensor = try readTensor(&reader)
      guard names.insert(ExactString(tensor.name)).inserted else {
        throw reader.refuse(.headerEntry, tensor: tensor.name, "the name twice", "names that differ")
      }
      described.append(tensor)
    }
    try place(described, reader)
  }

  // MARK: Head

  private func checkMagic(_ bytes: UnsafeRawBufferPointer) throws(WeightError) {
    if bytes.starts(with: "GGUF".utf8) { return }
    let older = ["lmgg": "GGML", "fmgg": "GGMF", "tjgg": "GGJT"].first { bytes.starts(with: $0.key.utf8) }?.value
    let isPointer = bytes.starts(with: "version https://git-lfs".utf8)
    throw WeightError(
      .unsupportedFormat, file.path,
      found: isPointer
        ? "a Git LFS pointer"
        : older.map { "a file in \($0), a format from before GGUF" } ?? "a file that starts otherwise",
      expected: isPointer ? "the weights themselves" : "a GGUF file",
      fix: isPointer
        ? "Fetch them with `git lfs pull` in that folder."
        : older != nil ? "Fetch a newer file, or convert the original checkpoint again." : damagedFile)
  }

  private mutating func readVersion(_ reader: inout GGUFReader) throws(WeightError) {
    let version: UInt32 = try reader.number("the version")
    if version != 0, version & 0xFFFF == 0 {
      throw reader.refuse(
        .unsupportedFormat, "a big-endian GGUF file (version \(version.byteSwapped))", "a little-endian one",
        fix: "Fetch the file for x86 and Arm, or convert it with gguf_convert_endian.py of llama.cpp.")
    }
    guard version == 2 || version == 3 else {
      throw reader.refuse(
        .unsupportedFormat, "GGUF version \(version)", "version 2 or 3",
        fix: version == 1 ? "Convert the original checkpoint again with a newer llama.cpp." : "Update vtok.")
    }
    self.version = Int(version)
  }

  // MARK: Metadata

  private mutating func readValue(_ reader: inout GGUFReader) throws(WeightError) {
    let key = try reader.text("a key")
    guard !key.isEmpty else { throw reader.refuse(.headerEntry, "a key without a name", "names") }
    let type = try reader.type(key)
    try reader.spend(MemoryMeter.member + 48)
    let value: GGUFValue = type == .array ? .array(try reader.array(key, in: file)) : try reader.scalar(type)
    if key == "general.alignment" {
      guard type == .u32, let number = value.int, number > 0, number <= 1 << 20, number & (number - 1) == 0 else {
        throw reader.refuse(
          .headerEntry, "general.alignment \(value.int.map(String.init) ?? "of another type than u32")",
          "a power of two up to \(1 << 20), as u32")
      }
      alignment = number
    }
    guard metadata.append(key, value) else {
      throw reader.refuse(.headerEntry, "the key `\(shortened(key))` twice", "keys that differ")
    }
  }

  // MARK: Tensors

  private func readTensor(_ reader: inout GGUFReader) throws(WeightError) -> Described {
    let name = try readName(&reader)
    try reader.spend(256)
    let axes: UInt32 = try reader.number("the number of axes")
    guard (1...4).contains(axes) else {
      throw reader.refuse(.headerEntry, tensor: name, "\(axes) axes", "1 to 4")
    }
    var shape: [Int] = []
    for _ in 0..<axes {
      let size: UInt64 = try reader.number("a size")
      guard let size = Int(exactly: size) else {
        throw reader.refuse(.byteRange, tensor: name, "an axis of \(size)", "a size below 2^63")
      }
      shape.insert(size, at: 0)  // the file has the fastest axis first
    }
    let type = try elementType(reader.number("a type"), name, reader)
    let offset: UInt64 = try reader.number("an offset")
    return Described(
      name: name, type: type, shape: shape, bytes: try byteCount(shape, type, name, reader), offset: offset)
  }

  private func readName(_ reader: inout GGUFReader) throws(WeightError) -> String {
    let start = reader.at
    let name = try reader.text("the name of a tensor")
    let length = reader.at - start - 8
    guard (1...63).contains(length) else {
      throw reader.refuse(
        .headerEntry, tensor: name.isEmpty ? nil : name, "the name of a tensor with \(length) bytes", "1 to 63")
    }
    return name
  }

  private func byteCount(
    _ shape: [Int], _ type: ElementType, _ name: String, _ reader: GGUFReader
  ) throws(WeightError) -> Int {
    let elements = type.block?.elements ?? 1
    guard shape[shape.count - 1] % elements == 0 else {
      throw reader.refuse(
        .byteRange, tensor: name, "rows of \(shape[shape.count - 1])",
        "a multiple of \(elements), the block of \(type.rawValue)")
    }
    var count = 1
    for size in shape {
      let (product, overflow) = count.multipliedReportingOverflow(by: size)
      if overflow {
        throw reader.refuse(.byteRange, tensor: name, "shape \(shape), more than can be counted", "a smaller shape")
      }
      count = product
    }
    let (bytes, overflow) = (count / elements).multipliedReportingOverflow(by: type.size)
    if overflow {
      throw reader.refuse(.byteRange, tensor: name, "shape \(shape), more bytes than can be counted", "a smaller shape")
    }
    return bytes
  }

  private mutating func place(_ described: [Described], _ reader: GGUFReader) throws(WeightError) {
    let start = (reader.at + alignment - 1) / alignment * alignment
    let room = reader.bytes.count - start
    guard room >= 0 || described.isEmpty else {
      throw reader.refuse(
        .byteRange, "tensors from byte \(start) on in a file of \(reader.bytes.count)", "a whole file")
    }
    entries.reserveCapacity(described.count)
    for tensor in described {
      guard tensor.offset % UInt64(alignment) == 0 else {
        throw reader.refuse(
          .byteRange, tensor: tensor.name, "offset \(tensor.offset)", "a multiple of the alignment \(alignment)")
      }
      guard tensor.offset <= UInt64(room), tensor.bytes <= room - Int(tensor.offset) else {
        throw reader.refuse(
          .byteRange, tensor: tensor.name, "\(tensor.bytes) bytes from offset \(tensor.offset) on",
          "a range within the \(room) bytes of data")
      }
      let first = start + Int(tensor.offset)
      entries.append(
        TensorEntry(
          name: tensor.name, type: tensor.type, shape: tensor.shape, range: first..<first + tensor.bytes,
          file: file.path))
    }
    entries.sort { ($0.range.lowerBound, $0.range.upperBound) < ($1.range.lowerBound, $1.range.upperBound) }
    var end = start
    for entry in entries where !entry.range.isEmpty {
      guard entry.range.lowerBound >= end else {
        throw reader.refuse(
          .coverage, tensor: entry.name, "bytes that another tensor has too", "bytes of its own")
      }
      end = entry.range.upperBound
    }
  }
}

// MARK: Types

private func elementType(
  _ number: UInt32, _ tensor: String, _ reader: GGUFReader
) throws(WeightError) -> ElementType {
  if let type = readTypes[number] { return type }
  let name = otherTypes[number].map { "\($0) (type \(number))" } ?? "type \(number)"
  let removed = removedTypes.contains(number) ? ", which was taken out of the format" : ""
  throw reader.refuse(
    .elementType, tensor: tensor, "elements of \(name)\(removed)",
    "one of \(readTypes.sorted { $0.key < $1.key }.map(\.value.rawValue).joined(separator: ", "))",
    fix: "Use a file of the same model in another type, such as Q4_K_M or Q8_0.")
}

private let readTypes: [UInt32: ElementType] = {
  let plain: [UInt32: ElementType] = [
    0: .f32, 1: .f16, 24: .i8, 25: .i16, 26: .i32, 27: .i64, 28: .f64, 30: .bf16,
  ]
  return ElementType.allCases.reduce(into: plain) { types, type in
    if let block = type.block { types[block.number] = type }
  }
}()

/// Types that have a name and are not read: products take Q8_1 and Q8_K only as activations.
private let otherTypes: [UInt32: String] = [
  4: "Q4_2", 5: "Q4_3", 9: "Q8_1", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 21: "IQ3_S",
  22: "IQ2_S", 29: "IQ1_M", 31: "Q4_0_4_4", 32: "Q4_0_4_8", 33: "Q4_0_8_8", 34: "TQ1_0", 35: "TQ2_0",
  36: "IQ4_NL_4_4", 37: "IQ4_NL_4_8", 38: "IQ4_NL_8_8", 39: "MXFP4", 40: "NVFP4", 41: "Q1_0", 42: "Q2_0",
]
private let removedTypes: Set<UInt32> = [4, 5, 31, 32, 33, 36, 37, 38]
