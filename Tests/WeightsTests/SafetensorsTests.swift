import Foundation
import Testing
import VTokTensor
import VTokWeights

@Suite struct SafetensorsTests {
  /// Today's libraries write files of up to 50 GB. This one takes no room on the disk.
  @Test func tensorsBehindFiveGigabytes() throws {
    try withFolder { folder in
      let (path, gap) = (folder + "/model.safetensors", 6_000_000_000)
      let head = safetensors(
        "{\"gap\":{\"dtype\":\"U8\",\"shape\":[\(gap)],\"data_offsets\":[0,\(gap)]},"
          + "\"last\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[\(gap),\(gap + 8)]}}", data: 0)
      try write(head, path)
      let file = try #require(FileHandle(forWritingAtPath: path))
      try file.seek(toOffset: UInt64(head.count + gap))
      try file.write(contentsOf: [Float(1.5), -2].withUnsafeBytes { Data($0) })
      try file.close()
      let checkpoint = try Checkpoint(directory: folder, config: [:])
      #expect(try checkpoint.vector("last", [2]) == [1.5, -2])
    }
  }

  /// Header, bytes of data, the kind of error, a part of its message.
  static let hostile: [(String, Int, WeightError.Kind, String)] = {
    func tensor(_ type: String, _ shape: String, _ offsets: String) -> String {
      "{\"dtype\":\(type),\"shape\":\(shape),\"data_offsets\":\(offsets)}"
    }
    let good = tensor("\"F32\"", "[2]", "[0,8]")
    let deep = String(repeating: "[", count: 5000)
    return [
      ("hello", 0, .headerText, "not valid JSON at byte 0"),
      ("[]", 0, .headerText, "starts with `{`"), (" {}", 0, .headerText, "starts with `{`"),
      ("12", 0, .headerText, "{"),
      ("{\"a\":\(deep)", 0, .headerText, "nested deeper"),
      ("{\"a\":\(good),\"a\":\(good)}", 8, .headerText, "`a` occurs twice"),
      ("{\"a\":\(good)} x", 8, .headerText, "after the end"),
      ("{\"a\":1}", 0, .headerEntry, "the number 1"), ("{\"a\":[]}", 0, .headerEntry, "an array of 0"),
      ("{\"a\":{}}", 0, .headerEntry, "dtype missing"),
      ("{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, .headerEntry, "data_offsets missing"),
      ("{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", 8, .headerEntry, "shape missing"),
      ("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"x\":1}}", 8, .headerEntry, "a field `x`"),
      ("{\"a\":\(tensor("5", "[2]", "[0,8]"))}", 8, .headerEntry, "dtype the number 5"),
      ("{\"a\":\(tensor("\"Q4_K\"", "[2]", "[0,8]"))}", 8, .elementType, "elements of type Q4_K"),
      ("{\"a\":\(tensor("\"f32\"", "[2]", "[0,8]"))}", 8, .elementType, "elements of type f32"),
      ("{\"a\":\(tensor("\"F32\"", "[-2]", "[0,8]"))}", 8, .headerEntry, "sizes of 0 or more"),
      ("{\"a\":\(tensor("\"F32\"", "[2.0]", "[0,8]"))}", 8, .headerEntry, "sizes of 0 or more"),
      ("{\"a\":\(tensor("\"F32\"", "[2.5]", "[0,8]"))}", 8, .headerEntry, "sizes of 0 or more"),
      ("{\"a\":\(tensor("\"F32\"", "[1e30]", "[0,8]"))}", 8, .headerEntry, "sizes of 0 or more"),
      ("{\"a\":\(tensor("\"F32\"", "[null]", "[0,8]"))}", 8, .headerEntry, "sizes of 0 or more"),
      ("{\"a\":\(tensor("\"F32\"", "2", "[0,8]"))}", 8, .headerEntry, "shape the number 2"),
      ("{\"a\":\(tensor("\"F32\"", "[2]", "[0]"))}", 8, .headerEntry, "[begin, end]"),
      ("{\"a\":\(tensor("\"F32\"", "[2]", "[0,4,8]"))}", 8, .headerEntry, "[begin, end]"),
      ("{\"a\":\(tensor("\"F32\"", "[2]", "[0,\"8\"]"))}", 8, .headerEntry, "[begin, end]"),
      ("{\"a\":\(tensor("\"F32\"", "[2]", "[-8,0]"))}", 8, .headerEntry, "[begin, end]"),
      ("{\"a\":\(tensor("\"F32\"", "[2]", "[0,8.0]"))}", 8, .headerEntry, "[begin, end]"),
      ("{\"a\":\(tensor("\"F32\"", "[2]", "[8,0]"))}", 8, .byteRange, "8..<0"),
      ("{\"a\":\(tensor("\"F32\"", "[2]", "[0,9223372036854775807]"))}", 8, .byteRange, "within 0..<8"),
      ("{\"a\":\(tensor("\"F32\"", "[2]", "[9223372036854775800,9223372036854775807]"))}", 8, .byteRange, "within"),
      ("{\"a\":\(tensor("\"F32\"", "[2]", "[0,18446744073709551615]"))}", 8, .headerEntry, "[begin, end]"),
      ("{\"a\":\(tensor("\"F32\"", "[2]", "[0,16]"))}", 8, .byteRange, "within 0..<8"),
      ("{\"a\":\(tensor("\"F32\"", "[3]", "[0,8]"))}", 8, .byteRange, "found 8 bytes, expected 12 bytes"),
      ("{\"a\":\(tensor("\"F16\"", "[2]", "[0,8]"))}", 8, .byteRange, "expected 4 bytes"),
      ("{\"a\":\(tensor("\"F32\"", "[]", "[0,8]"))}", 8, .byteRange, "expected 4 bytes"),
      ("{\"a\":\(tensor("\"F32\"", "[4294967296,4294967296]", "[0,8]"))}", 8, .byteRange, "can be counted"),
      ("{\"a\":\(tensor("\"F32\"", "[9223372036854775807,3,0]", "[0,0]"))}", 0, .byteRange, "can be counted"),
      ("{\"a\":\(good),\"b\":\(good)}", 8, .byteRange, "shared with the tensor before it"),
      ("{\"a\":\(good),\"b\":\(tensor("\"F32\"", "[2]", "[4,12]"))}", 12, .byteRange, "shared"),
      ("{\"a\":\(good),\"b\":\(tensor("\"F32\"", "[1]", "[12,16]"))}", 16, .coverage, "4 bytes before it"),
      ("{\"a\":\(tensor("\"F32\"", "[2]", "[4,12]"))}", 12, .coverage, "4 bytes before it"),
      ("{\"a\":\(good)}", 12, .coverage, "4 bytes after the last tensor"), ("{}", 1, .coverage, "1 bytes after"),
      ("{\"__metadata__\":[]}", 0, .headerEntry, "an object of strings"),
      ("{\"__metadata__\":{\"a\":1}}", 0, .headerEntry, "the number 1 under `a`"),
      ("{\"__metadata__\":{\"a\":{}}}", 0, .headerEntry, "an object of 0 under `a`"),
    ]
  }()

  @Test(arguments: hostile) func refuses(_ header: String, _ data: Int, _ kind: WeightError.Kind, _ part: String) {
    let error = weightError { _ = try opened(safetensors(header, data: data)) }
    #expect(error?.kind == kind && error?.description.contains(part) == true, "\(error?.description ?? "")")
    #expect(error?.description.hasPrefix("test.safetensors") == true)
  }

  static let lengths: [([UInt8], String)] = [
    ([], "found 0 bytes"), ([2, 0, 0], "found 3 bytes"), (safetensors("{}", data: 0, length: 0), "a header of 0 bytes"),
    (safetensors("{}", data: 0, length: 1), "a header of 1 bytes"),
    (safetensors("{}", data: 0, length: 3), "a header of 3 bytes in a file of 10"),
    (safetensors("{}", data: 0, length: .max), "a header of 18446744073709551615 bytes"),
    (safetensors("{}", data: 0, length: 1 << 63), "a header of 9223372036854775808 bytes"),
    (safetensors("{}", data: 0, length: 100_000_001), "up to 100000000"),
    (Array("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n".utf8), "a Git LFS pointer"),
  ]

  @Test(arguments: lengths) func refusesLengths(_ bytes: [UInt8], _ part: String) {
    let error = weightError { _ = try opened(bytes) }
    #expect(error?.kind == .headerLength && error?.description.contains(part) == true, "\(error?.description ?? "")")
  }

  @Test func acceptsWhatIsOdd() throws {
    #expect(try opened(safetensors("{}", data: 0)).entries.isEmpty)
    let header = """
      {"z":{"dtype":"F32","shape":[0,5],"data_offsets":[0,0]},"__metadata__":{"format":"pt"},
      "b":{"data_offsets":[0,2],"shape":[],"dtype":"BF16"},"a":{"dtype":"F64","shape":[1,1],"data_offsets":[2,10]}}
      """
    let file = try opened(safetensors(header + String(repeating: " ", count: 5), data: 10))
    #expect(file.metadata == ["format": "pt"])
    #expect(file.entries.map(\.name) == ["z", "b", "a"])
    #expect(file.entry("b")?.shape == [] && file.entry("b")?.count == 1)
    #expect(try file.tensor("z").shape == [0, 5])
    #expect(try file.weight("z").rows == 0)
    #expect(weightError { _ = try file.weight("b") }?.kind == .shape)
    #expect(weightError { _ = try file.tensor("c") }?.kind == .missingTensor)
    #expect(weightError { _ = try file.integers("b") }?.kind == .unsuitableType)
    #expect(weightError { _ = try file.bytes("b") }?.kind == .unsuitableType)
  }

  @Test func readsEveryType() throws {
    // Laid out so that nothing is aligned.
    let parts: [(String, String, [UInt8])] = [
      ("u8", "U8", [7]), ("f32", "F32", bytes([Float(1.5), -2])), ("f64", "F64", bytes([0.1, 1e300])),
      ("f16", "F16", bytes([UInt16(0x3C00), 0x0001])), ("bf16", "BF16", bytes([UInt16(0x3F80), 0xC000])),
      ("i8", "I8", [0xFF, 2]), ("i16", "I16", bytes([Int16(-3), 4])), ("i32", "I32", bytes([Int32.min, 5])),
      ("i64", "I64", bytes([Int64.min, .max])), ("bool", "BOOL", [1, 0]),
    ]
    var object = JSONObject()
    var data: [UInt8] = []
    for (name, type, part) in parts {
      let size = ElementType(rawValue: type)!.size
      object[name] = [
        "dtype": JSON(type), "shape": [JSON(part.count / size), 1],
        "data_offsets": [JSON(data.count), JSON(data.count + part.count)],
      ]
      data += part
    }
    var text = JSON.object(object).text()
    while text.utf8.count % 8 != 0 { text += " " }
    let file = try opened(Array(safetensors(text, data: 0)) + data)
    #expect(try file.bytes("u8") == [7] && file.bytes("bool") == [1, 0])
    #expect(try file.tensor("f32") == Tensor([1.5, -2], shape: [2, 1]))
    #expect(try file.weight("f32").tensor == Tensor([1.5, -2], shape: [2, 1]))
    #expect(try file.tensor("f64").values == [0.1, .infinity])
    #expect(try file.tensor("f16").values == [1, 0x1p-24] && file.weight("f16").tensor.values == [1, 0x1p-24])
    #expect(try file.tensor("bf16").values == [1, -2] && file.weight("bf16").type == .bf16)
    #expect(try file.integers("i8") == [-1, 2] && file.integers("i16") == [-3, 4])
    #expect(try file.integers("i32") == [-2_147_483_648, 5] && file.integers("i64") == [.min, .max])
    #expect(weightError { _ = try file.tensor("i32") }?.kind == .unsuitableType)
    #expect(weightError { _ = try file.weight("f64") }?.kind == .unsuitableType)
  }

  private func bytes<Element>(_ values: [Element]) -> [UInt8] { values.withUnsafeBytes(Array.init) }

  @Test func writesWhatItReads() throws {
    let tensors: [(String, Safetensors.Value)] = [
      ("mask", .u8([1, 2, 3], shape: [3])), ("w", .f32(Tensor([1, -0.0, .infinity, 0x1p-130], shape: [2, 2]))),
      ("half", .f16(Tensor([0.1, 3], shape: [2]))), ("é", .i64([.min, -1, 0, .max], shape: [4, 1])),
      ("empty", .f32(Tensor([], shape: [0, 3]))), ("s", .f32(Tensor([4], shape: []))),
    ]
    let bytes = try Safetensors.encode(tensors, metadata: ["b": "2", "a": "1"])
    #expect(try Safetensors.encode(tensors.reversed(), metadata: ["a": "1", "b": "2"]) == bytes)
    #expect(bytes[0] % 8 == 0 && bytes[8] == UInt8(ascii: "{"))
    let file = try opened(bytes)
    #expect(file.entries.map(\.name) == ["é", "empty", "s", "w", "half", "mask"])
    #expect(file.metadata == ["a": "1", "b": "2"])
    #expect(file.entries.allSatisfy { $0.range.lowerBound % $0.type.size == 0 })
    let w = try file.tensor("w")
    #expect(w == Tensor([1, 0, .infinity, 0x1p-130], shape: [2, 2]) && w.values[1].sign == .minus)
    #expect(try file.tensor("half").values == [0.0999755859375, 3])
    #expect(try file.integers("é") == [.min, -1, 0, .max])
    #expect(try file.bytes("mask") == [1, 2, 3] && file.tensor("s").shape == [])
    #expect(weightError { _ = try Safetensors.encode([tensors[0], tensors[0]]) }?.kind == .write)
    #expect(weightError { _ = try Safetensors.encode([("__metadata__", tensors[0].1)]) }?.kind == .write)
  }

  @Test func writesFilesInOneStep() throws {
    try withFolder { folder in
      let path = folder + "/x.safetensors"
      let long = Tensor((0..<200_000).map { Float($0) }, shape: [400, 500])
      let tensors: [(String, Safetensors.Value)] = [("a", .f32(long)), ("h", .f16(long))]
      try write("old", path)
      try Safetensors.write(tensors, to: path)
      let written = try Data(contentsOf: URL(fileURLWithPath: path))
      #expect(Array(written) == (try Safetensors.encode(tensors)))
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["x.safetensors"])
      #expect(try Safetensors(path: path).weight("a").row(399)[499] == 199_999)
      #expect(weightError { try Safetensors.write(tensors, to: folder + "/no/x") }?.kind == .write)
      #expect(weightError { try Safetensors.write(tensors, to: folder) }?.kind == .write)
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["x.safetensors"])
    }
  }

  /// Every float16, its neighbours and the points halfway between, and floats of all sizes.
  @Test func roundsHalvesToNearestEven() throws {
    var values: [Float] = [
      65519.996, 65520, .greatestFiniteMagnitude, .infinity, 0x1p-25, 0x1.000002p-25, 0x1p-26, .leastNonzeroMagnitude,
    ]
    for bits in UInt16(0)..<0x7C00 {
      let low = Float(Float16(bitPattern: bits))
      let high = Float(Float16(bitPattern: bits + 1))
      values.append(low)
      let middle = high.isFinite ? (low + high) / 2 : 65520
      values += [middle.nextDown, middle, middle.nextUp]
    }
    var random = SeededGenerator(seed: 5)
    for _ in 0..<50_000 { values.append(Float(bitPattern: UInt32.random(in: 0..<0x7F80_0000, using: &random))) }
    values += values.map { -$0 }
    let bytes = try Safetensors.encode([("h", .f16(Tensor(values, shape: [values.count])))])
    let stored = try opened(bytes).tensor("h").values
    #expect(zip(values, stored).allSatisfy { Float(Float16($0)).bitPattern == $1.bitPattern })
    #expect(
      try opened(Safetensors.encode([("n", .f16(Tensor([.nan, -.nan], shape: [2])))])).tensor("n").values[1].isNaN)
  }

  /// Damaged headers are refused with a typed error or read; nothing else happens, and what is read stays inside.
  @Test func survivesDamage() throws {
    let bytes = try Safetensors.encode(
      [
        ("a.weight", .f32(Tensor(zeros: [3, 4]))), ("b", .f16(Tensor(zeros: [5]))), ("c", .i64([1, 2], shape: [2])),
        ("d", .u8([9], shape: [])),
      ], metadata: ["format": "pt"])
    let header = 8 + Int(bytes[0]) + Int(bytes[1]) << 8
    let alphabet = Array("0123456789-.eE[]{}:,\" FIUB\\n".utf8)
    var random = SeededGenerator(seed: 7)
    var readable = 0
    for _ in 0..<20_000 {
      var damaged = bytes
      for _ in 0..<Int.random(in: 1...3, using: &random) {
        let at = Int.random(in: 0..<min(header, damaged.count), using: &random)
        switch Int.random(in: 0..<5, using: &random) {
        case 0: damaged[at] = UInt8.random(in: 0...255, using: &random)
        case 1: damaged[at] = alphabet.randomElement(using: &random)!
        case 2: damaged.remove(at: at)
        case 3: damaged.insert(alphabet.randomElement(using: &random)!, at: at)
        default: damaged.removeLast(Int.random(in: 0..<damaged.count / 2, using: &random))
        }
        if damaged.count < 16 { break }
      }
      do throws(WeightError) {
        let file = try opened(damaged)
        readable += 1
        for entry in file.entries {
          #expect(entry.range.upperBound <= damaged.count)
          _ = try? file.tensor(entry.name)
          _ = try? file.weight(entry.name)
          _ = try? file.integers(entry.name)
        }
      } catch {
        #expect(!error.fix.isEmpty)
      }
    }
    #expect(readable > 0)
  }
}
