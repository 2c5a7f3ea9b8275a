import Foundation
import TestSupport
import Testing
import VTok

/// BAE, GigaTok, SEED and Divot beyond their goldens.
@Suite struct ImageTokenizerTests {
  private func checkpoint(_ name: String, config: JSON? = nil) throws -> Checkpoint {
    let folder = goldenCases + name
    return try Checkpoint(
      file: folder + "/model.safetensors", config: config ?? JSON(contentsOf: folder + "/config.json"))
  }

  private func picture(_ name: String) throws -> Image { try Image.decode(contentsOf: pictures + "/" + name).image }

  /// A copy of a checkpoint's tensors, changed, in a file that is gone afterwards.
  private func changed<Result>(
    _ name: String, _ change: (inout [String: Tensor]) -> Void, _ body: (Checkpoint) throws -> Result
  ) throws -> Result {
    let file = try Safetensors(path: goldenCases + name + "/model.safetensors")
    var tensors = Dictionary(uniqueKeysWithValues: try file.entries.map { ($0.name, try file.tensor($0.name)) })
    change(&tensors)
    let path = FileManager.default.temporaryDirectory.path + "/\(UUID().uuidString).safetensors"
    defer { try? FileManager.default.removeItem(atPath: path) }
    try Safetensors.write(tensors.sorted { $0.key < $1.key }.map { ($0.key, .f32($0.value)) }, to: path)
    return try body(Checkpoint(file: path, config: JSON(contentsOf: goldenCases + name + "/config.json")))
  }

  // MARK: BAE

  @Test func bitsBecomeIdsAndGroups() {
    #expect([-1, -1e-6, -0.0, 0, 1e-8, 5e-8].allSatisfy { !BinaryQuantizer.isSet($0) })
    #expect([1e-6, 0.1, .infinity].allSatisfy { BinaryQuantizer.isSet($0) } && !BinaryQuantizer.isSet(.nan))
    #expect(BinaryQuantizer.ids(Tensor([3, -1, 2, -2, -2, 9], shape: [2, 3])) == [0b101, 0b001])
    let ids = [0b1101_0010, 0b0000_1111]
    #expect(BinaryQuantizer.groups(ids, bits: 8, width: 4) == [13, 2, 0, 15])
    for width in [1, 2, 4, 8] {
      #expect(BinaryQuantizer.joined(BinaryQuantizer.groups(ids, bits: 8, width: width), bits: 8, width: width) == ids)
    }
    let quantizer = BinaryQuantizer(Tensor([1, 10, 2, 20, 4, 40], shape: [3, 2]))
    #expect(quantizer([0b101, 0, 0b011]) == Tensor([5, 50, 0, 0, 6, 60], shape: [3, 2]))
  }

  @Test(arguments: [("tiny-a", 64, 256), ("tiny-b", 16, 64)]) func baePaintsWhatItWrote(
    _ name: String, _ count: Int, _ codes: Int
  ) throws {
    let model = try #require(try ImageTokenizers.load(checkpoint("bae/" + name)) as? BAE)
    #expect(model.name == "bae" && model.codebookSize == codes && model.lengths(for: Size(16)) == .fixed(count))
    let tokens = try model.encode(picture("ship.jpg"))
    #expect(tokens.ids.count == count && tokens.size == Size(16) && Set(tokens.ids).count > 1)
    #expect(try model.encode(picture("ship.jpg"), tokens: nil, threads: 3) == tokens)
    #expect(try model.decode(tokens).size == Size(16))
    #expect(try model.embeddings(of: tokens)?.rows == count)
    for wrong in [tokens.prefix(count - 1), ImageTokens(ids: tokens.ids, size: Size(32))] {
      #expect(throws: ModelError.self) { _ = try model.decode(wrong) }
    }
    #expect(throws: ModelError.self) { _ = try model.encode(picture("ship.jpg"), tokens: 3) }
    // Published files say nothing of the size: then it is 256.
    let published = try ImageTokenizers.load(checkpoint("bae/" + name, config: [:]))
    #expect(published.prepare(try picture("ship.jpg")).size == Size(256))
  }

  @Test func baeWithoutItsNormOrWithOtherStepsIsRefused() throws {
    let error = #expect(throws: (any Error).self) {
      try changed("bae/tiny-a") {
        $0["ae.encoder.blocks.2.conv.weight"] = nil
      } _: {
        _ = try ImageTokenizers.load($0)
      }
    }
    #expect(error is ModelError || error is WeightError)
    let size = #expect(throws: ModelError.self) {
      _ = try ImageTokenizers.load(checkpoint("bae/tiny-b", config: ["img_size": 18]))
    }
    #expect(size.map { "\($0)".contains("18 pixels") } == true)
    // A generator that begins with a convolution has no norm in front: still a model.
    try changed("bae/tiny-a") { tensors in
      var moved: [String: Tensor] = [:]
      for (name, tensor) in tensors {
        let parts = name.split(separator: ".")
        guard parts.starts(with: ["ae", "generator", "blocks"]), let index = Int(parts[3]) else {
          moved[name] = tensor
          continue
        }
        if index > 0 { moved[(parts[..<3] + ["\(index - 1)"] + parts[4...]).joined(separator: ".")] = tensor }
      }
      tensors = moved
    } _: { checkpoint in
      let model = try #require(try ImageTokenizers.load(checkpoint) as? BAE)
      #expect(try model.decode(model.encode(picture("cat.jpg"))).size == Size(16))
    }
  }

  // MARK: GigaTok

  private func gigaTok(_ checkpoint: Checkpoint) throws -> GigaTok { try GigaTok(checkpoint, heads: (2, 4)) }

  @Test func gigaTokPaintsWhatItWrote() throws {
    let model = try gigaTok(checkpoint("gigatok/tiny-b"))
    #expect(model.name == "gigatok" && model.codebookSize == 50 && model.lengths(for: Size(16)) == .fixed(8))
    let tokens = try model.encode(picture("ship.jpg"))
    #expect(tokens.ids.count == 8 && tokens.size == Size(16) && Set(tokens.ids).count > 1)
    #expect(try model.encode(picture("ship.jpg"), tokens: nil, threads: 3) == tokens)
    #expect(try model.decode(tokens, seed: 0, threads: 3) == model.decode(tokens, seed: 5))
    #expect(throws: ModelError.self) { _ = try model.decode(tokens.prefix(4)) }
    let lengths = try #require(try model.embeddings(of: tokens))
    for row in 0..<8 { #expect(abs(lengths.row(row).reduce(0) { $0 + $1 * $1 } - 1) < 1e-5) }
    // Heads of one for every 64 channels do not fit: it is found, and refused in words.
    let error = #expect(throws: ModelError.self) { _ = try ImageTokenizers.load(checkpoint("gigatok/tiny-b")) }
    #expect(error.map { "\($0)".contains("num_heads") } == true)
  }

  @Test func gigaToksThatWereNeverReleasedAreRefused() throws {
    for (key, value) in [
      ("adaptive_gn", false), ("use_attn", true), ("simvq", true), ("learnable_1d_query_init", true),
      ("res_codebook", true),
    ] {
      let config: JSON = ["model": ["init_args": .object(JSONObject([(key, JSON(value))]))]]
      let error = #expect(throws: ModelError.self) { _ = try gigaTok(checkpoint("gigatok/tiny-b", config: config)) }
      #expect(error.map { "\($0)".contains("'model.init_args.\(key)' is \(value)") } == true)
    }
    for name in [
      "quantize.codebook_transform.weight", "s2to1encoder.query_1d", "s1to2decoder.q_2d",
      "encoder.conv_blocks.1.attn.0.q.weight", "s2to1encoder.transformer.0.self_attn.q_proj.weight",
    ] {
      let error = #expect(throws: ModelError.self) {
        try changed("gigatok/tiny-b") {
          $0[name] = Tensor([1], shape: [1])
        } _: {
          _ = try gigaTok($0)
        }
      }
      #expect(error.map { "\($0)".contains(name) } == true, "\(name)")
    }
    // What training leaves in the files is passed over.
    try changed("gigatok/tiny-b") {
      $0["s1to2decoder.distill_mlp.0.weight"] = Tensor([1], shape: [1])
      $0["quantize.codebook_used"] = Tensor([1], shape: [1])
    } _: {
      _ = try gigaTok($0)
    }
    // A codebook that is not normed is compared and handed on as it is.
    let plain = try gigaTok(
      checkpoint("gigatok/tiny-b", config: ["model": ["init_args": ["codebook_l2_norm": false]]]))
    let stored = try checkpoint("gigatok/tiny-b").tensor("quantize.embedding.weight", [nil, nil])
    #expect(plain.quantizer.codes == stored)
  }

  // MARK: SEED

  private func seed(_ checkpoint: Checkpoint) throws -> SEED {
    try #require(try ImageTokenizers.load(checkpoint) as? SEED)
  }

  @Test(arguments: ["tiny-a", "tiny-b"]) func seedHasPrefixesAndAFeatureOfAllTokens(_ name: String) throws {
    let model = try seed(checkpoint("seed/" + name))
    let image = try picture("ship.jpg")
    let all = try model.encode(image)
    #expect(model.name == "seed" && all.ids.count == 32 && model.lengths(for: all.size) == .prefixes(32))
    #expect(!(model is any PaintingTokenizer))
    for count in [1, 5, 31] { #expect(try model.encode(image, tokens: count, threads: 2) == all.prefix(count)) }
    #expect(try model.embeddings(of: all.prefix(3))?.rows == 3)
    let feature = try model.feature(of: all)
    #expect(try feature.count == model.featureWidth && model.feature(of: all, threads: 3) == feature)
    let error = #expect(throws: ModelError.self) { _ = try model.feature(of: all.prefix(31)) }
    #expect(error.map { "\($0)".contains("31 tokens, expected all 32") } == true)
    #expect(throws: ModelError.self) { _ = try model.feature(of: ImageTokens(ids: [-1], size: all.size)) }
  }

  @Test func seedWithAnotherNumberOfQueriesIsRefused() throws {
    let error = #expect(throws: ModelError.self) {
      try changed("seed/tiny-b") { tensors in
        let queries = tensors["query_tokens"]!
        tensors["query_tokens"] = Tensor(
          Array(queries.values.prefix(16 * queries.width)), shape: [1, 16, queries.width])
      } _: {
        _ = try seed($0)
      }
    }
    #expect(error.map { "\($0)".contains("16 queries, expected 32") } == true)
  }

  @Test func seedsTowerMayLieBesideIt() throws {
    let folder = FileManager.default.temporaryDirectory.path + "/\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let file = try Safetensors(path: goldenCases + "seed/tiny-b/model.safetensors")
    let tensors = try file.entries.map { ($0.name, Safetensors.Value.f32(try file.tensor($0.name))) }
    try FileManager.default.copyItem(
      atPath: goldenCases + "seed/tiny-b/config.json", toPath: folder + "/config.json")
    let prefix = "visual_encoder."
    try Safetensors.write(tensors.filter { !$0.0.hasPrefix(prefix) }, to: folder + "/main.safetensors")
    let parts = WeightParts(
      main: "main.safetensors", others: [WeightParts.Part(file: "tower.safetensors", prefix: "visual_encoder")])
    let alone = #expect(throws: ModelError.self) {
      _ = try seed(try #require(try Checkpoint(directory: folder, parts: parts, config: [:])))
    }
    #expect(alone.map { "\($0)".contains("eva_vit_g.pth") } == true)
    let tower = tensors.filter { $0.0.hasPrefix(prefix) }.map { (String($0.0.dropFirst(prefix.count)), $0.1) }
    // The tower's file has blocks that the code does not build, and names that others have too.
    let more = [("norm.weight", Safetensors.Value.f32(Tensor([1], shape: [1])))]
    try Safetensors.write(tower + more, to: folder + "/tower.safetensors")
    let both = try seed(try #require(try Checkpoint(directory: folder, parts: parts, config: [:])))
    let image = try picture("cat.jpg")
    #expect(try both.encode(image) == seed(checkpoint("seed/tiny-b")).encode(image))
    let none = WeightParts(main: "none", others: [])
    #expect(try Checkpoint(directory: folder, parts: none, config: [:]).map(\.name) == nil)
  }

  /// The variant that pools by one more query. Where its layers add nothing, what leaves is the query, normed.
  @Test func seedsOtherHeadPoolsByAQuery() throws {
    let names = try Safetensors(path: goldenCases + "seed/tiny-b/model.safetensors").entries.map(\.name)
    let width = 48
    func feature(scale: Float, _ ids: [Int]) throws -> [Float] {
      try changed("seed/tiny-b") { tensors in
        for name in names where name.hasPrefix("Qformer.bert.") {
          var own = tensors[name]!
          let isCross = name.contains("crossattention")
          if name.contains("LayerNorm") {
            own.values = own.values.map { _ in name.hasSuffix("weight") ? 1 : 0 }
          } else if isCross, own.shape.count == 2, own.width != width {
            own = Tensor((0..<width * width).map { Float($0 % 7) / 7 - 0.4 }, shape: [width, width])
          } else if !isCross {
            own.values = own.values.map { _ in 0 }
          }
          if name.contains("crossattention.output.dense") { own.values = own.values.map { $0 * scale } }
          tensors["Reverse_" + name] = own
        }
        for name in names where name.hasPrefix("image_down") { tensors[name] = nil }
        tensors["reverse_tokens"] = Tensor((0..<width).map { Float($0 % 5) - 2 }, shape: [1, 1, width])
        let rows = tensors["distill_image_proj.bias"]!.values.count
        var identity = Tensor(zeros: [rows, width])
        for row in 0..<rows { identity.values[row * width + row] = 1 }
        tensors["distill_image_proj.weight"] = identity
        tensors["distill_image_proj.bias"] = Tensor(zeros: [rows])
      } _: {
        try seed($0).feature(of: ImageTokens(ids: ids, size: Size(28)))
      }
    }
    let (one, other) = ([Int](repeating: 3, count: 32), [Int](0..<32))
    let query = (0..<width).map { Double($0 % 5) - 2 }
    let mean = query.reduce(0, +) / Double(width)
    let deviation = (query.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(width)).squareRoot()
    for (value, expected) in zip(try feature(scale: 0, one), query) {
      #expect(abs(Double(value) - (expected - mean) / deviation) < 1e-4)
    }
    #expect(try feature(scale: 1, one) != feature(scale: 1, other), "it looks at the picture")
  }

  // MARK: Divot

  @Test func divotTakesItsNumberOfFrames() throws {
    let model = try Divot(directory: goldenCases + "divot/tiny-b")
    #expect(model.frameCount == 3 && model.side == 32 && model.count == 6 && model.width == 16)
    let frames = try ["cat.jpg", "ship.jpg", "spheres.jpg"].map { try picture($0) }
    let features = try model(frames)
    #expect(features.shape == [6, 16] && features.values.allSatisfy(\.isFinite))
    #expect(try model(frames, threads: 3) == features)
    #expect(try model(frames.reversed()) != features, "frames have an order")
    for wrong in [Array(frames.prefix(2)), frames + frames] {
      #expect(throws: ModelError.self) { _ = try model(wrong) }
    }
    #expect(throws: ModelError.self) { _ = try model.encoded((0..<3).map { _ in Tensor(zeros: [3, 28, 28]) }) }
    let error = #expect(throws: ModelError.self) {
      try changed("divot/tiny-b") {
        $0["vit_model.model.visual.class_embedding"] = nil
      } _: {
        _ = try Divot($0)
      }
    }
    #expect(error.map { "\($0)".contains("open_clip_pytorch_model.bin") } == true)
  }

  // MARK: Hostile files

  /// A tensor that is missing, empty, doubled or of another shape is named, or it does no harm; nothing traps.
  @Test(arguments: ["bae/tiny-b", "gigatok/tiny-b", "seed/tiny-b", "divot/tiny-b"])
  func hostileShapesAreErrors(_ name: String) throws {
    let image = try picture("cat.jpg")
    let shapes = try Safetensors(path: goldenCases + name + "/model.safetensors").entries
    func run(_ change: (inout [String: Tensor]) -> Void) throws -> (any Error)? {
      do {
        try changed(name, change) { checkpoint in
          if name.hasPrefix("divot") {
            let model = try Divot(checkpoint)
            _ = try model([Image](repeating: image, count: min(model.frameCount, 8)))
            return
          }
          let model = try name.hasPrefix("gigatok") ? gigaTok(checkpoint) : ImageTokenizers.load(checkpoint)
          let tokens = try model.encode(image)
          if let painter = model as? any PaintingTokenizer { _ = try painter.decode(tokens) }
          if let describer = model as? any FeatureTokenizer { _ = try describer.feature(of: tokens) }
        }
        return nil
      } catch {
        return error
      }
    }
    #expect(try run { _ in } == nil)
    for (index, entry) in shapes.enumerated() {
      let missing = try run { $0[entry.name] = nil }
      let isNeedless =
        entry.name.hasPrefix("ae.generator.logsigma") || entry.name.hasPrefix("blocks.") || entry.name == "pos_embed"
        || entry.name.contains(".conv_out.") && name.hasPrefix("bae")
        || entry.name.contains("reverse")
      #expect(missing is WeightError || missing is ModelError || isNeedless, "\(entry.name) missing")
      let changes = hostileChanges
      // All of them take minutes: two of every tensor, others of the next.
      let chosen =
        ConfigFuzzTests.isWide
        ? changes : [changes[2 * index % changes.count], changes[(2 * index + 1) % changes.count]]
      for (what, change) in chosen {
        if let found = try run({ $0[entry.name] = change($0[entry.name]!) }) {
          #expect(found is WeightError || found is ModelError, "\(entry.name) \(what): \(found)")
        }
      }
    }
  }
}
