import Testing
import VTokTensor
import VTokWeights

@Suite struct PythonLiteralTests {
  /// `repr` of Python 3.12 on the left.
  static let literals: [(String, JSON)] = [
    ("None", .null), ("True", true), (" False ", false), ("0", 0), ("-7", -7), ("+7", 7), ("1e-05", 1e-5), (".5", 0.5),
    ("2.", 2.0), ("-0.25E+2", -25.0), ("9223372036854775808", .number(9_223_372_036_854_775_808)),
    ("''", ""), ("'a\"b'", "a\"b"), ("\"it's\"", "it's"),
    (#"'\\ \' \n \t \x41 \u00e9 \U0001f600'"#, "\\ ' \n \t A é 😀"),
    ("'é😀'", "é😀"), ("[]", []), ("[1, 2,]", [1, 2]), ("()", []), ("(1,)", [1]), ("(1)", 1), ("(1, 'a')", [1, "a"]),
    ("{}", [:]), ("{'a': {'b': [None, (2, 2)]}, \"c\": 1.5,}", ["a": ["b": [.null, [2, 2]]], "c": 1.5]),
  ]
  @Test(arguments: literals) func reads(_ text: String, _ expected: JSON) throws {
    #expect(try JSON(pythonLiteral: text) == expected)
  }

  /// Order of keys is execution order in the files that use this.
  @Test func keepsOrder() throws {
    let value = try JSON(pythonLiteral: "{'z': 1, 'a': 2, 'm': 3}")
    #expect(value.object?.map(\.key) == ["z", "a", "m"])
  }

  @Test(arguments: [
    "", " ", "nan", "inf", "[nan]", "a.b.C", "print('x')", "{1: 2}", "{1, 2}", "{'a'}", "{'a': 1 'b': 2}",
    "{'a': 1, 'a': 2}",
    "[1 2]", "[,]", "[1,,2]", "(,)", "1 2", "1_000", "0x10", "01", "1j", "1e", "-", "--1", ".", "'a", "'a\nb'", "'\\q'",
    "'\\x4'", "'\\ud800'", "'\\N{DOT}'", "b'a'", "u'a'", "'a' 'b'", "'''a'''", "lambda: 0", "[1]+[2]", "True1", "]",
    "{",
    "__import__('os').system('true')",
  ])
  func refuses(_ text: String) {
    #expect(throws: PythonLiteralError.self) { try JSON(pythonLiteral: text) }
  }

  @Test func nesting() {
    let deep = { (count: Int) in String(repeating: "[", count: count) + String(repeating: "]", count: count) }
    #expect((try? JSON(pythonLiteral: deep(JSON.depthLimit))) != nil)
    #expect(throws: PythonLiteralError.self) { try JSON(pythonLiteral: deep(JSON.depthLimit + 1)) }
    #expect(throws: PythonLiteralError.self) { try JSON(pythonLiteral: String(repeating: "(", count: 1_000_000)) }
  }

  /// Cut or damaged anywhere, a text is refused or read, never a crash.
  @Test func damaged() {
    let text = #"{'_target_': 'a.B', 'n': (1, -2.5e-3, None), 'l': [True, "x\u00e9\x41", {'k': ()}]}"#
    let bytes = Array(text.utf8)
    for end in 0..<bytes.count {
      #expect(throws: PythonLiteralError.self) {
        try JSON(pythonLiteral: String(decoding: bytes[..<end], as: UTF8.self))
      }
    }
    var generator = SeededGenerator(seed: 3)
    for _ in 0..<20_000 {
      var damaged = bytes
      for _ in 0..<Int.random(in: 1...3, using: &generator) {
        damaged[Int.random(in: damaged.indices, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
      }
      _ = try? JSON(pythonLiteral: String(decoding: damaged, as: UTF8.self))
    }
  }

  @Test func metadata() throws {
    func checkpoint(_ metadata: [String: String]) throws -> Checkpoint {
      let bytes = try Safetensors.encode([("a", .f32(Tensor([1], shape: [1])))], metadata: metadata)
      return try bytes.withUnsafeBytes { bytes in
        // Never freed: such a checkpoint is for memory that lives as long as the program.
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 64)
        copy.copyMemory(from: bytes)
        return try "{}".utf8.withContiguousStorageIfAvailable { config in
          try Checkpoint(
            name: "memory", config: UnsafeRawBufferPointer(config), weights: UnsafeRawBufferPointer(copy))
        }!
      }
    }
    let read = try checkpoint(["_target_": "a.b.C", "format": "pt", "n": "(1, 2)", "d": "{'x': None}"])
      .literalMetadata()
    #expect(read == ["_target_": "a.b.C", "d": ["x": .null], "format": "pt", "n": [1, 2]])
    let error = #expect(throws: WeightError.self) { try checkpoint(["d": "{'x': nan}"]).literalMetadata() }
    #expect(error?.kind == .headerEntry && error?.description.contains("byte 6") == true)
  }
}
