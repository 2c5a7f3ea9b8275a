import Foundation
import Testing
import VTokTensor
import VTokWeights

/// The container: what is read, and what is refused and how.
@Suite struct GGUFTests {
  // MARK: Files with a verdict

  static let folder = (#filePath as NSString).deletingLastPathComponent + "/GGUF/"
  struct Verdict: CustomTestStringConvertible, Sendable {
    let json: JSON
    var testDescription: String { json["file"]?.string ?? "" }
  }
  static let verdicts = try! JSON(contentsOf: folder + "manifest.json")["files"]!.array!.map { Verdict(json: $0) }

  @Test(arguments: verdicts) func filesByTheirVerdict(_ verdict: Verdict) throws {
    let path = Self.folder + verdict.json["file"]!.string!
    guard verdict.json["expect"]?.string == "read" else {
      let error = weightError { _ = try GGUF(path: path) }
      let isOneLine = error?.description.utf8.allSatisfy { $0 >= 0x20 } == true
      #expect(error?.file == path && isOneLine, "\(error?.description ?? "")")
      return
    }
    let model = try GGUF(path: path)
    for tensor in verdict.json["tensors"]!.array! {
      let name = tensor["name"]!.string!
      #expect(model.entry(name)?.type.rawValue == tensor["type"]?.string)
      let found = try model.tensor(name)
      #expect(found.shape == tensor["shape"]?.ints)
      #expect(found.values.withUnsafeBytes { SHA256.of($0) } == tensor["f32_sha256"]?.string)
    }
    for (key, value) in verdict.json["metadata"]?.object ?? JSONObject() {
      let found = try model.values[key].map { try json($0) }
      #expect(found == value, "\(key): \(found?.text() ?? "missing")")
    }
  }

  /// As the manifest has them: numbers of 64 bits as text.
  private func json(_ value: GGUFValue) throws -> JSON {
    switch value {
    case .integer(let number): number.magnitude < 1 << 53 ? JSON(Int(number)) : JSON("\(number)")
    case .number(let number): JSON(number)
    case .bool(let value): .bool(value)
    case .text(let text): JSON(text)
    case .array(let array): .array(try array.values().map { try json($0) })
    }
  }

  @Test(arguments: [
    ("version-1.gguf", WeightError.Kind.unsupportedFormat, "version 1"),
    ("big-endian.gguf", .unsupportedFormat, "big-endian"), ("old-ggjt.gguf", .unsupportedFormat, "GGJT"),
    ("type-iq2-xxs.gguf", .elementType, "IQ2_XXS"), ("row-not-blocks.gguf", .byteRange, "rows of 128"),
    ("n-dims-5.gguf", .headerEntry, "5 axes"), ("duplicate-key.gguf", .headerEntry, "twice"),
    ("offset-overlap.gguf", .coverage, "another tensor"), ("array-nested-2000.gguf", .headerEntry, "arrays"),
    ("array-count-2-61.gguf", .headerLength, "2305843009213693952"), ("alignment-0.gguf", .headerEntry, "alignment"),
    ("trunc-in-data.gguf", .byteRange, "bytes"), ("kv-count-2-63.gguf", .headerLength, "9223372036854775808"),
  ]) func errorsNameWhatTheyFound(_ file: String, _ kind: WeightError.Kind, _ text: String) {
    let error = weightError { _ = try GGUF(path: Self.folder + file) }
    #expect(error?.kind == kind && error?.found.contains(text) == true, "\(error?.description ?? "")")
  }

  // MARK: Metadata

  @Test func valuesOfEveryType() throws {
    typealias B = GGUFBuilder
    var builder = GGUFBuilder()
    builder.add("u8", type: 0, [200])
    builder.add("i8", type: 1, [0xFF])
    builder.add("i16", type: 3, B.number(Int16(-2)))
    builder.add("u64", type: 10, B.number(UInt64.max))
    builder.add("i64", type: 11, B.number(Int64.min))
    builder.add("f32", type: 6, B.number(Float(1e-6).bitPattern))
    builder.add("f64", type: 12, B.number((0.1).bitPattern))
    builder.add("bool", type: 7, [7])
    builder.add("text", "größer")
    builder.add("bytes", type: 8, B.text([0x61, 0, 0xFF]))
    builder.add("ints", type: 9, B.number(UInt32(2)) + B.number(UInt64(2)) + B.number(UInt16(1)) + B.number(UInt16.max))
    builder.add("texts", type: 9, B.number(UInt32(8)) + B.number(UInt64(2)) + B.text("a b") + B.text(""))
    builder.add("floats", type: 9, B.number(UInt32(12)) + B.number(UInt64(1)) + B.number((0.5).bitPattern))
    builder.add("large", type: 9, B.number(UInt32(10)) + B.number(UInt64(1)) + B.number(UInt64.max))
    let file = try builder.opened()
    let values = file.values
    #expect(values.map(\.key).first == "u8" && values.count == 14 && file.version == 3)
    #expect(values["u8"]?.int == 200 && values["i8"]?.int == -1 && values["i16"]?.int == -2)
    #expect(values["u64"]?.int == nil && values["u64"]?.double == 0x1p64 && values["i64"]?.int == .min)
    #expect(values["f32"]?.double == Double(Float(1e-6)) && values["f64"]?.double == 0.1 && values["f64"]?.int == nil)
    #expect(values["bool"]?.bool == true && values["text"]?.text == "größer" && values["none"] == nil)
    #expect(values["bytes"]?.text.map { Array($0.unicodeScalars.map(\.value)) } == [0x61, 0, 0x10FFFF])
    #expect(try values["ints"]?.array?.ints() == [1, 65535] && values["ints"]?.array?.texts() == nil)
    #expect(try values["texts"]?.array?.texts() == ["a b", ""] && values["texts"]?.array?.ints() == nil)
    #expect(try values["floats"]?.array?.floats() == [0.5] && values["floats"]?.array?.ints() == nil)
    #expect(try values["large"]?.array?.ints() == nil && values["large"]?.array?.floats() == [0x1p64])
    #expect(try values["ints"]?.array?.values(first: 1).count == 1 && values["ints"]?.array?.count == 2)
    #expect(file.metadata["text"] == "größer" && file.metadata["u8"] == nil)
  }

  /// Keys whose bytes are no text are two keys, and errors show them.
  @Test func keysAreBytes() throws {
    var builder = GGUFBuilder()
    builder.add([0x61, 0xFF], type: 0, [1])
    builder.add([0x61, 0xFE], type: 0, [2])
    #expect(try builder.opened().values.count == 2)
    builder.add([0x61, 0xFF], type: 0, [3])
    let error = weightError { _ = try builder.opened() }
    #expect(error?.kind == .headerEntry && error?.description.utf8.allSatisfy { $0 >= 0x20 } == true)
    var empty = GGUFBuilder()
    empty.add("", type: 0, [1])
    #expect(weightError { _ = try empty.opened() }?.kind == .headerEntry)
  }

  @Test(
    arguments: [
      (4, [0, 0, 0, 0]), (4, [24, 0, 0, 0]), (4, [0, 0, 32, 0]), (5, [32, 0, 0, 0]), (10, [32, 0, 0, 0, 0, 0, 0, 0]),
      (8, [2, 0, 0, 0, 0, 0, 0, 0, 0x33, 0x32]),
    ] as [(UInt32, [UInt8])]) func alignmentsThatAreNone(_ type: UInt32, _ bytes: [UInt8])
  {
    var builder = GGUFBuilder()
    builder.add("general.alignment", type: type, bytes)
    #expect(weightError { _ = try builder.opened() }?.kind == .headerEntry)
  }

  @Test(arguments: [1, 2, 64, 4096]) func alignments(_ alignment: Int) throws {
    var builder = GGUFBuilder(alignment: alignment)
    builder.add("general.alignment", UInt32(alignment))
    builder.add("a", shape: [3], type: 24, [1, 2, 0xFF])
    builder.add("b", Tensor([1, 2, 3], shape: [3, 1]))
    let file = try builder.opened()
    #expect(try file.integers("a") == [1, 2, -1] && file.tensor("b").values == [1, 2, 3])
    #expect(try file.weight("b").tensor == Tensor([1, 2, 3], shape: [3, 1]))
  }

  // MARK: Tensors

  @Test func tensorsOfEveryType() throws {
    typealias B = GGUFBuilder
    var builder = GGUFBuilder()
    builder.add("f16", shape: [1, 2], type: 1, B.number(Float16(1.5).bitPattern) + B.number(UInt16(1)))
    builder.add("bf16", shape: [2, 1], type: 30, [0x80, 0x3F, 0, 0xC0])
    builder.add("f64", shape: [1], type: 28, B.number((0.1).bitPattern))
    builder.add("i16", shape: [1], type: 25, B.number(Int16(-3)))
    builder.add("i32", shape: [1], type: 26, B.number(Int32.min))
    builder.add("i64", shape: [1], type: 27, B.number(Int64.max))
    let two = B.number(Float16(2).bitPattern)
    builder.add("q4_0", shape: [2, 32], type: 2, two + [UInt8](repeating: 0x9F, count: 16) + two + [UInt8](0..<16))
    let file = try builder.opened()
    #expect(try file.tensor("f16").values == [1.5, 0x1p-24] && file.weight("f16").type == .f16)
    #expect(try file.weight("bf16").tensor == Tensor([1, -2], shape: [2, 1]))
    #expect(try file.tensor("f64").values == [0.1])
    #expect(
      try file.integers("i16") == [-3] && file.integers("i32") == [-0x8000_0000] && file.integers("i64") == [.max])
    let codes = (0..<16).map { Float($0 - 8) * 2 } + [Float](repeating: -16, count: 16)
    let expected = [Float](repeating: 14, count: 16) + [Float](repeating: 2, count: 16) + codes
    #expect(try file.tensor("q4_0") == Tensor(expected, shape: [2, 32]))
    let blocks = try file.blocks("q4_0")
    #expect(blocks.rows == 2 && blocks.columns == 32 && blocks.rowBytes == 18 && blocks.type == .q40)
    #expect(blocks.row(1) == codes && blocks.tensor.values == expected)
    #expect(weightError { _ = try file.weight("q4_0") }?.kind == .unsuitableType)
    #expect(weightError { _ = try file.integers("q4_0") }?.kind == .unsuitableType)
    #expect(weightError { _ = try file.blocks("f16") }?.kind == .unsuitableType)
    #expect(weightError { _ = try file.tensor("i32") }?.kind == .unsuitableType)
    #expect(weightError { _ = try file.tensor("f15") }?.fix.contains("`f16`") == true)
  }

  /// Another order, gaps, empty tensors, bytes behind the last one, and a last one without padding.
  @Test func looseFilesAreRead() throws {
    var builder = GGUFBuilder()
    builder.add("second", shape: [2], type: 24, [3, 4], offset: 128)
    builder.add("first", shape: [2], type: 24, [1, 2], offset: 32)
    builder.add("empty", shape: [0, 32], type: 2, [], offset: 32)
    let file = try builder.opened()
    #expect(file.entries.map(\.name) == ["empty", "first", "second"])
    #expect(try file.integers("first") == [1, 2] && file.integers("second") == [3, 4])
    #expect(try file.tensor("empty").values.isEmpty && file.blocks("empty").rows == 0)
    let cut = Array(builder.bytes.dropLast(30))
    let short = try GGUFFile(cut.withUnsafeBytes { MappedFile(copying: $0, name: "cut") })
    #expect(try short.integers("second") == [3, 4])
    var bare = GGUFBuilder()
    bare.add("x", UInt32(1))
    #expect(try bare.opened().entries.isEmpty)
    let head = Array(GGUFBuilder().bytes.prefix(24))
    #expect(try GGUFFile(head.withUnsafeBytes { MappedFile(copying: $0, name: "head") }).entries.isEmpty)
  }

  @Test(
    arguments: [4, 5, 9, 15, 16, 17, 18, 19, 21, 22, 29, 31, 33, 34, 35, 38, 39, 40, 41, 42, 43, 0xFFFF_FFFF]
      as [UInt32])
  func typesThatAreNotRead(_ type: UInt32) throws {
    var builder = GGUFBuilder()
    builder.add("blk.0.attn_q.weight", shape: [1, 256], type: type, [UInt8](repeating: 0, count: 512))
    let error = weightError { _ = try builder.opened() }
    #expect(error?.kind == .elementType && error?.tensor == "blk.0.attn_q.weight")
    #expect(error?.found.contains("\(type)") == true && error?.expected.contains("Q4_K") == true)
  }

  @Test(
    arguments: [
      ([0x8000_0000_0000_0000], 0, WeightError.Kind.byteRange), ([1 << 62, 4, 0], 0, .byteRange),
      ([1 << 62], 0, .byteRange), ([2, 33], 2, .byteRange), ([], 0, .headerEntry), ([1, 1, 1, 1, 1], 0, .headerEntry),
      ([100], 0, .byteRange),
    ] as [([UInt64], UInt32, WeightError.Kind)]) func shapesThatAreNone(
      _ shape: [UInt64], _ type: UInt32, _ kind: WeightError.Kind
    )
  {
    var builder = GGUFBuilder()
    builder.add("w", shape: shape, type: type, [UInt8](repeating: 0, count: 64))
    #expect(weightError { _ = try builder.opened() }?.kind == kind)
  }

  @Test func namesAndPlacesThatAreNone() {
    for name in ["", String(repeating: "n", count: 64)] {
      var builder = GGUFBuilder()
      builder.add(name, Tensor([1], shape: [1]))
      #expect(weightError { _ = try builder.opened() }?.kind == .headerEntry)
    }
    for offset in [16, 32, 1 << 40, UInt64.max - 31] {
      var builder = GGUFBuilder()
      builder.add("a", shape: [8], type: 24, [1, 2, 3, 4, 5, 6, 7, 8], offset: offset == 32 ? 0 : offset)
      builder.add("b", shape: [40], type: 24, [UInt8](repeating: 1, count: 40), offset: 0)
      let kind = weightError { _ = try builder.opened() }?.kind
      #expect(kind == .byteRange || (kind == .coverage && offset == 32), "\(offset)")
    }
    var twice = GGUFBuilder()
    twice.add("a", Tensor([1], shape: [1]))
    twice.add("a", Tensor([1], shape: [1]))
    #expect(weightError { _ = try twice.opened() }?.tensor == "a")
    for counts in [(UInt64.max, UInt64(0)), (0, .max), (1 << 40, 1)] {
      let builder = GGUFBuilder(tensorCount: counts.0, valueCount: counts.1)
      #expect(weightError { _ = try builder.opened() }?.kind == .headerLength)
    }
  }

  // MARK: Parts

  /// A model of three parts: metadata in the first, two tensors in each of the others.
  private func writeParts(_ folder: String, _ change: (Int, inout GGUFBuilder) -> Void = { _, _ in }) throws {
    for number in 0..<3 {
      var builder = GGUFBuilder()
      if number == 0 { builder.add("general.architecture", "llama") }
      builder.add("split.count", UInt16(3))
      builder.add("split.tensors.count", Int32(4))
      if number > 0 {
        for name in ["a", "b"] { builder.add("\(name)\(number)", Tensor([Float(number)], shape: [1])) }
      }
      change(number, &builder)
      builder.add("split.no", UInt16(number))
      try write(builder.bytes, "\(folder)/m-0000\(number + 1)-of-00003.gguf")
    }
  }

  @Test func partsAreOneModel() throws {
    try withFolder { folder in
      try writeParts(folder)
      let model = try GGUF(path: folder + "/m-00001-of-00003.gguf")
      #expect(model.files.count == 3 && model.entries.map(\.name) == ["a1", "b1", "a2", "b2"])
      #expect(model.values["general.architecture"]?.text == "llama")
      #expect(try model.tensor("b2").values == [2] && model.tensor("a1").values == [1])
      #expect(model.entry("b2")?.file.hasSuffix("m-00003-of-00003.gguf") == true)
      #expect(weightError { _ = try model.tensor("c") }?.kind == .missingTensor)
      let second = weightError { _ = try GGUF(path: folder + "/m-00002-of-00003.gguf") }
      #expect(second?.kind == .index && second?.expected.contains("`m-00001-of-00003.gguf`") == true)
      try FileManager.default.moveItem(atPath: folder + "/m-00001-of-00003.gguf", toPath: folder + "/x.gguf")
      #expect(weightError { _ = try GGUF(path: folder + "/x.gguf") }?.kind == .index)
      try FileManager.default.moveItem(atPath: folder + "/x.gguf", toPath: folder + "/m-00001-of-00003.gguf")
      try FileManager.default.removeItem(atPath: folder + "/m-00002-of-00003.gguf")
      let missing = weightError { _ = try GGUF(path: folder + "/m-00001-of-00003.gguf") }
      #expect(missing?.kind == .missingFile && missing?.file == folder + "/m-00002-of-00003.gguf")
    }
  }

  @Test func partsThatDoNotFit() throws {
    let changes: [(Int, inout GGUFBuilder) -> Void] = [
      { number, builder in if number == 2 { builder.add("c", Tensor([1], shape: [1])) } },
      { number, builder in if number == 2 { builder.add("a1", Tensor([1], shape: [1])) } },
    ]
    for change in changes {
      try withFolder { folder in
        try writeParts(folder, change)
        #expect(weightError { _ = try GGUF(path: folder + "/m-00001-of-00003.gguf") }?.kind == .index)
      }
    }
    try withFolder { folder in  // the third part as the second
      try writeParts(folder)
      try FileManager.default.removeItem(atPath: folder + "/m-00002-of-00003.gguf")
      try FileManager.default.copyItem(
        atPath: folder + "/m-00003-of-00003.gguf", toPath: folder + "/m-00002-of-00003.gguf")
      let error = weightError { _ = try GGUF(path: folder + "/m-00001-of-00003.gguf") }
      #expect(error?.kind == .index && error?.file == folder + "/m-00002-of-00003.gguf")
    }
    try withFolder { folder in  // one that says so is not split
      for count in [0, 1] as [UInt16] {
        var builder = GGUFBuilder()
        builder.add("split.count", count)
        try write(builder.bytes, folder + "/one.gguf")
        #expect(try GGUF(path: folder + "/one.gguf").files.count == 1)
      }
    }
  }

  // MARK: Damage

  /// Damaged files are refused with a typed error or read; nothing else happens, and what is read stays inside.
  @Test func survivesDamage() throws {
    var builder = GGUFBuilder()
    builder.add("general.architecture", "llama")
    builder.add("general.alignment", UInt32(32))
    let texts = GGUFBuilder.number(UInt32(8)) + GGUFBuilder.number(UInt64(1)) + GGUFBuilder.text("a")
    builder.add("tokens", type: 9, texts)
    builder.add("a", Tensor(zeros: [3, 4]))
    builder.add("b", shape: [2, 32], type: 8, [UInt8](repeating: 1, count: 68))
    builder.add("c", shape: [256], type: 14, [UInt8](repeating: 1, count: 210))
    let bytes = builder.bytes
    var random = SeededGenerator(seed: 7)
    var readable = 0
    for _ in 0..<20_000 {
      var damaged = bytes
      for _ in 0..<Int.random(in: 1...3, using: &random) {
        let at = Int.random(in: 0..<min(330, damaged.count), using: &random)
        switch Int.random(in: 0..<5, using: &random) {
        case 0: damaged[at] = UInt8.random(in: 0...255, using: &random)
        case 1: damaged[at] = [0, 1, 2, 8, 9, 0x7F, 0x80, 0xFF].randomElement(using: &random)!
        case 2: damaged.remove(at: at)
        case 3: damaged.insert(UInt8.random(in: 0...40, using: &random), at: at)
        default: damaged.removeLast(Int.random(in: 0..<damaged.count / 2, using: &random))
        }
        if damaged.count < 16 { break }
      }
      do throws(WeightError) {
        let file = try GGUFFile(damaged.withUnsafeBytes { MappedFile(copying: $0, name: "damaged") })
        readable += 1
        for entry in file.entries {
          #expect(entry.range.upperBound <= damaged.count)
          _ = try? file.tensor(entry.name)
          _ = try? file.weight(entry.name)
          _ = try? file.integers(entry.name)
          _ = try? file.blocks(entry.name).tensor
        }
        for (_, value) in file.values { _ = try value.array?.values() }
      } catch {
        #expect(!error.fix.isEmpty)
      }
    }
    #expect(readable > 0)
  }
}
