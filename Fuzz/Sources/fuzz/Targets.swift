import VTok

/// One kind of bytes that comes from strangers, and the code of the library that reads it.
struct Target: Sendable {
  let name: String
  /// Errors are good ends.
  let run: @Sendable ([UInt8]) throws -> Void

  static let all: [Target] = [
    Target(name: "png") { try image($0) },
    Target(name: "jpeg") { try image($0) },
    Target(name: "webp") { try image($0) },
    Target(name: "safetensors") { try safetensors($0) },
    Target(name: "pytorch") { try pytorch($0) },
    Target(name: "pickle") { try pickle($0) },
    Target(name: "gguf") { try gguf($0) },
    Target(name: "json") { try json($0) },
    Target(name: "literal") { try literal($0) },
    Target(name: "tokenizer") { try tokenizer($0) },
    Target(name: "clip") { try clip($0) },
    Target(name: "tokens") { try tokens($0) },
    Target(name: "config") { try config($0) },
    Target(name: "template") { try template($0) },
    Target(name: "tar") { try tar($0) },
    Target(name: "data") { try data($0) },
  ]

  // MARK: Pictures

  /// As they are, and once more with right checksums, without which a changed PNG is refused at its first chunk.
  private static func image(_ bytes: [UInt8]) throws {
    let repaired = Repaired.png(bytes)
    if repaired != bytes { try? decode(repaired) }
    try decode(bytes)
  }

  private static func decode(_ bytes: [UInt8]) throws {
    let decoded = try Image.decode(bytes, options: DecodeOptions(maxPixels: 1 << 20))
    require(
      decoded.image.rgb.count == decoded.image.width * decoded.image.height * 3, "another size than its pixels have")
  }

  // MARK: Weights

  private static func safetensors(_ bytes: [UInt8]) throws {
    try read(Safetensors(mapped(bytes)))
  }

  private static func pytorch(_ bytes: [UInt8]) throws {
    try read(PyTorchFile(mapped(bytes)))
  }

  /// The bytes are the pickle of an archive that is right otherwise.
  private static func pickle(_ bytes: [UInt8]) throws {
    try read(PyTorchFile(mapped(Repaired.archive(pickle: bytes))))
  }

  /// One file of GGUF: its metadata, its tensors, products with those in blocks, its tokenizer and its language model.
  private static func gguf(_ bytes: [UInt8]) throws {
    let file = try GGUFFile(mapped(bytes))
    for (key, value) in file.values {
      guard let array = value.array else { continue }
      if let values = try? array.values() { require(values.count == array.count, "another number under \(key)") }
      _ = try? (array.texts(), array.ints(), array.floats())
    }
    for entry in file.entries.prefix(32) where entry.type.block != nil {
      guard let blocks = try? file.blocks(entry.name), (1...1 << 14).contains(blocks.columns) else { continue }
      let ones = Tensor([Float](repeating: 1, count: blocks.columns), shape: [1, blocks.columns])
      require(blocks.multiply(ones).values.count == blocks.rows, "a product of \(entry.name) of another size")
    }
    try read(file)
    let model = try GGUF(file)
    let texts = Result {
      guard let vocabulary = try GGUFVocabulary(model.values, file: "input") else { return }
      let tokenizer = try TextTokenizer(vocabulary, placeholder: "<image>")
      _ = tokenizer.decode(tokenizer.encode("A <image> of 12 caf\u{e9}s,\n<s>isn't it?"))
    }
    _ = try LanguageModel.load(Checkpoint(gguf: model))
    try texts.get()
  }

  private static func mapped(_ bytes: [UInt8]) -> MappedFile {
    bytes.withUnsafeBytes { MappedFile(copying: $0, name: "input") }
  }

  /// Touches every element in every way that there is.
  private static func read(_ file: some TensorFile) throws {
    for entry in file.entries.prefix(32) {
      if let tensor = try? file.tensor(entry.name) {
        require(tensor.values.count == entry.count, "\(entry.count) elements of \(entry.name) have another number")
      }
      if let integers = try? file.integers(entry.name) {
        require(integers.count == entry.count, "\(entry.count) elements of \(entry.name) have another number")
      }
      _ = try? file.weight(entry.name)
    }
    _ = file.metadata
  }

  // MARK: Texts

  private static func json(_ bytes: [UInt8]) throws {
    let python = try JSON(parsing: bytes, dialect: .python)
    let strict = try JSON(parsing: bytes)
    require(strict == python, "the dialects differ on strict JSON")
    for pretty in [false, true] {
      require(try! JSON(parsing: strict.text(pretty: pretty)) == strict, "written and read again, it differs")
    }
  }

  private static func literal(_ bytes: [UInt8]) throws {
    _ = try JSON(pythonLiteral: String(decoding: bytes, as: UTF8.self))
  }

  /// A `tokenizer.json`; texts go through what could be built from it, forth and back.
  private static func tokenizer(_ bytes: [UInt8]) throws {
    let tokenizer = try TextTokenizer(JSON(parsing: bytes, dialect: .python))
    for text in Self.texts + [String(decoding: bytes.prefix(200), as: UTF8.self)] {
      let ids = tokenizer.encode(text)
      _ = tokenizer.decode(ids)
      var stream = TokenStream(tokenizer)
      for id in ids.prefix(50) { _ = stream.append(id) }
      _ = stream.finish()
    }
  }

  /// A `tokenizer.json` of CLIP, or a `vocab.json`, a zero byte and a `merges.txt`.
  private static func clip(_ bytes: [UInt8]) throws {
    let tokenizer: CLIPTokenizer
    if let middle = bytes.firstIndex(of: 0) {
      tokenizer = try CLIPTokenizer(
        vocabulary: JSON(parsing: Array(bytes[..<middle])),
        merges: String(decoding: bytes[(middle + 1)...], as: UTF8.self))
    } else {
      tokenizer = try CLIPTokenizer(tokenizer: JSON(parsing: bytes))
    }
    _ = try tokenizer(Self.texts + [String(decoding: bytes.suffix(200), as: UTF8.self)])
  }

  private static let texts = [
    "", " ", "USER: <image>\nWhat's in these 12 pictures? ASSISTANT:", "  Ünïcode\u{301} 日本語 😀👩‍👩‍👧 \u{0} \r\n\t",
    "<s></s><|im_end|>",
  ]

  // MARK: Pictures as tokens

  /// A token file, and the pictures in it by the tokenizer inside.
  private static func tokens(_ bytes: [UInt8]) throws {
    let bytes = Repaired.tokens(bytes)
    let file = try bytes.withUnsafeBytes { try TokenFile($0, name: "input") }
    require(file.encoded() == bytes, "written again, it differs")
    // To paint a picture takes a hundred times as long as to read the file: every eighth input.
    guard bytes[bytes.count - 1] % 8 == 0, let picture = file.pictures.first,
      picture.tokens.size.width * picture.tokens.size.height <= 1 << 14
    else { return }
    let image = try klt.painter.decode(picture.tokens)
    require(image.size == picture.tokens.size, "a picture of \(image.size)")
  }

  private static let klt = try! LoadedTokenizer.load("klt")
}
