/// The checked header of a safetensors file. Everything in it is hostile until proven otherwise.
struct SafetensorsHeader {
  let entries: [Safetensors.Entry]  // in the order of their bytes
  let metadata: [String: String]
  /// - Parameter path: names the file in messages.
  init(_ bytes: UnsafeRawBufferPointer, path: String) throws(WeightError) {
    let length = try Self.length(bytes, path)
    let text = UnsafeRawBufferPointer(rebasing: bytes[8..<8 + length])
    let json: JSON
    do {
      json = try JSON(parsing: text, budget: .tensorList)
    } catch  where error.place == .limit {
      throw WeightError(
        .budget, path, found: "a header of \(error.reason)", expected: "a header of names, types, shapes and places",
        fix: damagedFile)
    } catch {
      throw WeightError(
        .headerText, path, found: "a header that is \(error)", expected: "a JSON header", fix: damagedFile)
    }
    guard text.first == UInt8(ascii: "{"), case .object(let members) = json else {
      throw WeightError(
        .headerText, path, found: "a header that starts otherwise", expected: "a header that starts with `{`",
        fix: damagedFile)
    }
    var entries: [Safetensors.Entry] = []
    entries.reserveCapacity(members.count)
    var metadata: [String: String] = [:]
    for (name, value) in members {
      if ExactString(name) == ExactString("__metadata__") {
        metadata = try Self.metadata(value, path)
      } else {
        entries.append(try Self.entry(name, value, path, data: 8 + length..<bytes.count))
      }
    }
    entries.sort { ($0.range.lowerBound, $0.range.upperBound) < ($1.range.lowerBound, $1.range.upperBound) }
    try Self.checkCoverage(entries, path, data: 8 + length..<bytes.count)
    self.entries = entries
    self.metadata = metadata
  }

  private static func length(_ bytes: UnsafeRawBufferPointer, _ path: String) throws(WeightError) -> Int {
    func refuse(_ found: String, _ expected: String) -> WeightError {
      let pointer = bytes.starts(with: "version https://git-lfs".utf8)
      return WeightError(
        .headerLength, path, found: pointer ? "a Git LFS pointer" : found,
        expected: pointer ? "the weights themselves" : expected,
        fix: pointer ? "Fetch them with `git lfs pull` in that folder." : damagedFile)
    }
    guard bytes.count >= 8 else { throw refuse("\(bytes.count) bytes", "8 bytes with the length of the header") }
    let length = UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))
    guard length >= 2 else { throw refuse("a header of \(length) bytes", "a header of 2 bytes or more") }
    guard length <= UInt64(Safetensors.headerLimit) else {
      throw refuse(
        "a header of \(length) bytes", "a safetensors file, whose header has up to \(Safetensors.headerLimit) bytes")
    }
    guard Int(length) <= bytes.count - 8 else {
      throw refuse("a header of \(length) bytes in a file of \(bytes.count)", "a header that ends within the file")
    }
    return Int(length)
  }

  private static func metadata(_ value: JSON, _ file: String) throws(WeightError) -> [String: String] {
    var metadata: [String: String] = [:]
    guard case .object(let members) = value else {
      throw WeightError(
        .headerEntry, file, tensor: "__metadata__", found: value.summary, expected: "an object of strings",
        fix: damagedFile)
    }
    for (key, value) in members {
      guard let text = value.string else {
        throw WeightError(
          .headerEntry, file, tensor: "__metadata__", found: "\(value.summary) under `\(shortened(key))`",
          expected: "a string", fix: damagedFile)
      }
      metadata[key] = text
    }
    return metadata
  }

  private static func entry(
    _ name: String, _ value: JSON, _ file: String, data: Range<Int>
  ) throws(WeightError) -> Safetensors.Entry {
    func refuse(_ kind: WeightError.Kind, _ found: String, _ expected: String, fix: String = damagedFile) -> WeightError
    {
      WeightError(kind, file, tensor: name, found: found, expected: expected, fix: fix)
    }
    guard case .object(let fields) = value else {
      throw refuse(.headerEntry, value.summary, "an object with dtype, shape and data_offsets")
    }
    for (key, _) in fields where !["dtype", "shape", "data_offsets"].contains(key) {
      throw refuse(.headerEntry, "a field `\(shortened(key))`", "only dtype, shape and data_offsets")
    }
    guard let typeName = fields["dtype"]?.string else {
      throw refuse(.headerEntry, "dtype \(fields["dtype"]?.summary ?? "missing")", "the name of an element type")
    }
    guard let type = ElementType(rawValue: typeName), type.block == nil else {
      throw refuse(
        .elementType, "elements of type \(shortened(typeName))",
        "one of \(ElementType.plain.map(\.rawValue).joined(separator: ", "))",
        fix: "Use the original checkpoint in F32, F16 or BF16.")
    }
    guard let shape = naturals(fields["shape"]) else {
      throw refuse(.headerEntry, "shape \(fields["shape"]?.summary ?? "missing")", "an array of sizes of 0 or more")
    }
    guard let offsets = naturals(fields["data_offsets"]), offsets.count == 2 else {
      throw refuse(.headerEntry, "data_offsets \(fields["data_offsets"]?.text() ?? "missing")", "[begin, end]")
    }
    guard offsets[0] <= offsets[1], offsets[1] <= data.count else {
      throw refuse(.byteRange, "bytes \(offsets[0])..<\(offsets[1])", "a range within 0..<\(data.count)")
    }
    var size = type.size
    for axis in shape {
      let (product, overflow) = size.multipliedReportingOverflow(by: axis)
      if overflow { throw refuse(.byteRange, "shape \(shape), more bytes than can be counted", "a smaller shape") }
      size = product
    }
    guard size == offsets[1] - offsets[0] else {
      throw refuse(
        .byteRange, "\(offsets[1] - offsets[0]) bytes", "\(size) bytes for shape \(shape) of \(type.rawValue)")
    }
    let range = data.lowerBound + offsets[0]..<data.lowerBound + offsets[1]
    return Safetensors.Entry(name: name, type: type, shape: shape, range: range, file: file)
  }

  /// Whole numbers of 0 or more, written as such (the crate refuses `4.0` too).
  private static func naturals(_ value: JSON?) -> [Int]? {
    guard case .array(let values) = value else { return nil }
    let numbers = values.compactMap { value -> Int? in
      if case .integer(let number) = value, number >= 0 { Int(exactly: number) } else { nil }
    }
    return numbers.count == values.count ? numbers : nil
  }

  private static func checkCoverage(
    _ entries: [Safetensors.Entry], _ file: String, data: Range<Int>
  ) throws(WeightError) {
    var end = data.lowerBound
    for entry in entries {
      let begin = entry.range.lowerBound
      guard begin == end else {
        throw WeightError(
          begin < end ? .byteRange : .coverage, file, tensor: entry.name,
          found: begin < end ? "bytes shared with the tensor before it" : "\(begin - end) bytes before it of no tensor",
          expected: "tensors that follow each other", fix: damagedFile)
      }
      end = entry.range.upperBound
    }
    guard end == data.upperBound else {
      throw WeightError(
        .coverage, file, found: "\(data.upperBound - end) bytes after the last tensor",
        expected: "a file that ends with it", fix: damagedFile)
    }
  }
}
