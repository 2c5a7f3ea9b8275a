import Testing
import VTokTensor
import VTokWeights

@Suite struct JSONTests {
  static let accepted: [(String, JSON)] = [
    ("null", .null), ("true", true), (" false\n", false), ("0", 0), ("-7", -7), ("1.0", 1.0), ("-0", .number(-0.0)),
    ("9223372036854775807", .integer(.max)), ("-9223372036854775808", .integer(.min)),
    ("9223372036854775808", .number(9_223_372_036_854_775_808)), ("1e-06", 1e-06), ("1E+2", 100.0), ("-0.5e1", -5.0),
    ("5e-324", .number(.leastNonzeroMagnitude)), ("1e-400", 0.0), ("[]", []), ("[1, [2], \"x\"]", [1, [2], "x"]),
    ("{}", [:]),
    (#"{"b": 1, "a": {"c": null}}"#, ["b": 1, "a": ["c": .null]]), (#""""#, ""),
    (#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{c}\n\r\t"),
    (#""\u00e9\u20ac\ud83d\udc36""#, "\u{e9}\u{20ac}\u{1f436}"), ("\"é🐶\u{7f}\"", "é🐶\u{7f}"), (#""\u0000""#, "\0"),
    // Composed and decomposed accents are different keys.
    ("{\"\u{e9}\": 1, \"e\u{301}\": 2}", .object(JSONObject([("\u{e9}", 1), ("e\u{301}", 2)]))),
  ]

  @Test(arguments: accepted) func reads(_ text: String, _ value: JSON) throws {
    let read = try JSON(parsing: text)
    #expect(read == value)
    #expect(try JSON(parsing: read.text()) == value)
    #expect(try JSON(parsing: read.text(pretty: true)) == value)
  }

  static let refused: [(String, Int)] = [
    ("", 0), ("  ", 2), ("nul", 3), ("nulL", 3), ("True", 0), ("1 2", 2), ("01", 0), ("-01", 0), ("-", 1), ("+1", 0),
    (".5", 0), ("1.", 2), ("1e", 2), ("1e+", 3), ("1e400", 0), ("0x10", 1), ("NaN", 0), ("Infinity", 0),
    ("-Infinity", 1), ("[1,]", 3), ("[1 2]", 3), ("[", 1), ("[1", 2), ("]", 0), ("{", 1), ("{\"a\"}", 4),
    ("{\"a\":}", 5), ("{\"a\":1,}", 7), ("{a:1}", 1), ("{1:1}", 1), ("{'a':1}", 1), ("\"a", 0), ("\"a\n\"", 2),
    (#""\x""#, 2), (#""\u12g4""#, 5), (#""\ud83d""#, 1), (#""\ud83dx""#, 1), (#""\ud83d\u0041""#, 1), (#""\udc36""#, 1),
    ("\"\\", 2), ("// c\n1", 0), ("1 // c", 2), ("{\"a\":1,\"b\":2,\"a\":3}", 13), ("\u{feff}1", 0), ("1\0", 1),
  ]

  @Test(arguments: refused) func refuses(_ text: String, _ offset: Int) {
    let error = #expect(throws: JSONError.self) { try JSON(parsing: text) }
    #expect(error?.place == .offset(offset), "\(error.map(String.init(describing:)) ?? "")")
  }

  @Test(
    arguments: [
      [0x22, 0xFF, 0x22], [0x22, 0xC0, 0x80, 0x22], [0x22, 0xED, 0xA0, 0x80, 0x22], [0x22, 0xE2, 0x82, 0x22],
      [0x22, 0x5C, 0x6E, 0xFF, 0x22],
    ] as [[UInt8]])
  func refusesInvalidUTF8(_ bytes: [UInt8]) {
    #expect(throws: JSONError.self) { try JSON(parsing: bytes) }
  }

  @Test func namesTheDuplicateKey() {
    let many = (0..<40).map { "\"k\($0)\":\($0)" }.joined(separator: ",")
    for text in [#"{"hidden_size":1,"hidden_size":2}"#, "{\(many),\"hidden_size\":1,\"hidden_size\":1}"] {
      let error = #expect(throws: JSONError.self) { try JSON(parsing: text) }
      #expect(error?.reason == "key `hidden_size` occurs twice in one object")
    }
  }

  @Test func limitsDepth() throws {
    func nested(_ depth: Int) -> String {
      String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
    }
    _ = try JSON(parsing: nested(JSON.depthLimit))
    #expect(throws: JSONError.self) { try JSON(parsing: nested(JSON.depthLimit + 1)) }
    #expect(throws: JSONError.self) { try JSON(parsing: String(repeating: "[{\"a\":", count: 1_000_000)) }
  }

  @Test func readsPythonsNumbers() throws {
    let value = try JSON(parsing: "[NaN, Infinity, -Infinity, -1]", dialect: .python)
    #expect(value.doubles?.count == 4)
    #expect(value[0]?.double?.isNaN == true)
    #expect(value[1] == .number(.infinity) && value[2] == .number(-.infinity) && value[3] == -1)
    #expect(value.text() == "[null,null,null,-1]")
  }

  @Test func writesTheSameBytes() throws {
    var value: JSON = [
      "name": "a \"b\"\\\n\u{1}é", "shape": [2, 3], "rows": [["x": 1], ["x": 0.1]], "eps": 1e-06, "none": [], "o": [:],
    ]
    #expect(
      value.text()
        == #"{"name":"a \"b\"\\\n\u0001é","shape":[2,3],"rows":[{"x":1},{"x":0.1}],"eps":1e-06,"none":[],"o":{}}"#)
    #expect(
      value.text(pretty: true) == """
        {
          "name": "a \\"b\\"\\\\\\n\\u0001é",
          "shape": [2, 3],
          "rows": [
            {
              "x": 1
            },
            {
              "x": 0.1
            }
          ],
          "eps": 1e-06,
          "none": [],
          "o": {}
        }
        """)
    #expect(JSON(Float(0.1)).text() == "0.1")
    var object = try #require(value.object)
    object["shape"] = nil
    object["eps"] = 2
    object["new"] = true
    value = .object(object)
    #expect(value.object?.map(\.key) == ["name", "rows", "eps", "none", "o", "new"])
    #expect(value["eps"] == 2 && value["shape"] == nil)
  }

  @Test func looksUpByPath() throws {
    let config = try JSON(
      parsing: #"{"vision_config": {"hidden_size": 768.0, "act": "gelu", "x": null, "sizes": [1, 2]}, "half": 0.5}"#)
    #expect(try config.int("vision_config.hidden_size") == 768)
    #expect(try config.int("vision_config.x", default: 3) == 3)
    #expect(try config.ints("vision_config.sizes") == [1, 2])
    #expect(try config.double("vision_config.hidden_size") == 768)
    func message(_ body: () throws -> Void) -> String {
      do { try body() } catch { return "\(error)" }
      return ""
    }
    #expect(
      message { _ = try config.int("vision_config.act", default: 1) }
        == "key `vision_config.act`: found the string \"gelu\", expected a whole number")
    #expect(message { _ = try config.int("half") } == "key `half`: found the number 0.5, expected a whole number")
    #expect(message { _ = try config.string("text_config.act") } == "key `text_config.act`: missing; expected a string")
  }

  /// Any damage to a text is read or refused, never worse; what is read survives a round trip.
  @Test func survivesDamage() throws {
    let text = Array(#"{"a": [1, -2.5e3, "x\u00e9\n", {"b": null, "é": [true, false, []]}], "c": "\ud83d\udc36"}"#.utf8)
    var random = SeededGenerator(seed: 11)
    for _ in 0..<20_000 {
      var bytes = text
      for _ in 0..<Int.random(in: 1...3, using: &random) {
        let at = Int.random(in: 0..<bytes.count, using: &random)
        switch Int.random(in: 0..<3, using: &random) {
        case 0: bytes[at] = UInt8.random(in: 0...255, using: &random)
        case 1: bytes.remove(at: at)
        default: bytes.insert(text.randomElement(using: &random)!, at: at)
        }
      }
      if let value = try? JSON(parsing: bytes) { #expect(try JSON(parsing: value.text()) == value) }
    }
  }
}
