import VTokCore
import VTokEval
import VTokImage
import VTokImageTokenizers
import VTokModels
import VTokWeights

/// What a model's files hold, in lines of a name and a text, and whether the model runs.
public struct Inspection {
  public private(set) var lines: [(name: String, text: String)] = []
  /// Why the model does not run; nil: it does.
  public private(set) var problem: (any Error)?
  public let tensors: [TensorEntry]

  /// Reads headers and configurations of any family, and loads the model to see whether it runs. Reads all weights once
  /// for their checksum; of one GGUF file alone none.
  /// - Parameters:
  ///   - mmproj: beside a GGUF file with a text model: the one with its tower and projector.
  ///   - processor: a file that says how images are prepared, in place of what the model's own files say.
  /// - Throws: `WeightError` for files that are not those of a model; what is wrong with a model is its `problem`.
  public init(_ nameOrDirectory: String, mmproj: String? = nil, processor: String? = nil) throws {
    if LoadedTokenizer.exists(nameOrDirectory) {
      let loaded = try LoadedTokenizer.load(nameOrDirectory)
      tensors = loaded.tensors
      describe(loaded)
      return
    }
    if nameOrDirectory.hasSuffix(GGUF.ending), mmproj == nil {
      let model = try GGUF(path: nameOrDirectory)
      tensors = model.entries
      describe(model)
      do { add("runs", try Self.runs(model, nameOrDirectory)) } catch {
        problem = error
        add("runs", "no")
      }
      return
    }
    let checkpoint = try LoadedModel.checkpoint(nameOrDirectory, mmproj: mmproj, processor: processor)
    tensors = checkpoint.tensors
    do {
      if MultimodalModel.matches(checkpoint.config) {
        try describeLanguageVision(checkpoint)
      } else {
        try describeTower(checkpoint)
      }
    } catch {
      problem = error
      if lines.isEmpty { addFiles(checkpoint.files, sha256: nil) }
    }
    add("runs", problem == nil ? "yes" : "no")
  }

  /// The tensors alone.
  public static func tensors(of nameOrDirectory: String, mmproj: String? = nil) throws -> [TensorEntry] {
    if LoadedTokenizer.exists(nameOrDirectory) { return try LoadedTokenizer.load(nameOrDirectory).tensors }
    if nameOrDirectory.hasSuffix(GGUF.ending), mmproj == nil { return try GGUF(path: nameOrDirectory).entries }
    return try LoadedModel.checkpoint(nameOrDirectory, mmproj: mmproj).tensors
  }

  private mutating func add(_ name: String, _ text: String) { lines.append((name, text)) }

  private mutating func addFamily(_ name: String, _ kind: FamilyKind, _ config: JSON) {
    let summary = Families.all.first { $0.kind == kind && $0.name == name }?.summary
    add("family", "\(name), a \(kind.rawValue)" + (summary.map { ": \($0)" } ?? ""))
    if let type = Families.type(in: config) { add("type", shortened(type)) }
  }

  private mutating func addFiles(_ files: [MappedFile], sha256: String?) {
    let bytes = tensors.reduce(0) { $0 + $1.range.count }
    let types = Set(tensors.map(\.type.rawValue)).sorted()
    add("weights", "\(tensors.count) tensors, \(listed(types)), \(fixed(Double(bytes) * 1e-6, 1)) MB")
    let size = files.reduce(0) { $0 + $1.count }
    let names = files.map { String($0.path.split(separator: "/").last ?? "") }
    add("files", "\(listed(names, limit: 3)), \(fixed(Double(size) * 1e-6, 1)) MB")
    let numbers = tensors.reduce(0) { $0 + $1.shape.reduce(1, *) }
    add("parameters", numbers >= 10_000_000 ? "\(fixed(Double(numbers) * 1e-6, 1)) million" : "\(numbers)")
    if let sha256 { add("sha256", sha256) }
  }

  // MARK: Towers

  private mutating func describeTower(_ checkpoint: Checkpoint) throws {
    let vision = try VisionModel.load(checkpoint)
    let tower = vision.tower.shape
    addFamily(vision.family, .tower, checkpoint.config)
    addFiles(checkpoint.files, sha256: LoadedModel.checksum(checkpoint.files))
    addTower(tower)
    add("tokens", "\(tower.patches) of an image")
    add("dense", "\(fixed(Cost(denseWith: tower.patches, shape: vision.shape).gmacs, 3)) GMACs an image")
    guard let processor = vision.processor else { throw ModelError.noProcessor(model: checkpoint.name) }
    add("image", text(processor))
    add("labels", vision.labels.map { "\($0.count): \(listed($0))" } ?? "none")
    addUnused(checkpoint)
  }

  private mutating func addTower(_ tower: Shape.Tower) {
    let depth = tower.depth == tower.blocks ? "\(tower.blocks)" : "\(tower.depth) of \(tower.blocks)"
    add("tower", "\(depth) blocks, width \(tower.width), \(tower.heads) heads, MLP \(tower.ffn)")
    add("patches", "\(tower.patch) px, grid \(tower.rows)x\(tower.columns), \(tower.prefix) prefix tokens")
  }

  private mutating func addUnused(_ checkpoint: Checkpoint) {
    let names = checkpoint.unusedNames(ignoring: [])
    add("unused", names.isEmpty ? "none" : "known and not needed: \(listed(names, limit: 4))")
  }

  // MARK: Vision-language models

  private static let picture = Size(width: 640, height: 480)

  private mutating func describeLanguageVision(_ checkpoint: Checkpoint) throws {
    let outline = try ModelOutline(checkpoint)
    let (tower, decoder) = (outline.shape.tower!, outline.shape.decoder!)
    addFamily(MultimodalModel.familyName(checkpoint.config) ?? "", .languageVision, checkpoint.config)
    addFiles(checkpoint.files, sha256: LoadedModel.checksum(checkpoint.files))
    addTower(tower)
    let joined = tower.fuse == 1 ? "" : "\(tower.fuse) patches of "
    add(
      "connector",
      "\(joined)\(tower.width) channels to \(decoder.width), \(fixed(Double(outline.shape.connectorMACs) * 1e-6, 1)) "
        + "million multiply-adds a token")
    add(
      "language",
      "\(decoder.layers) layers, width \(decoder.width), \(decoder.heads) heads (\(decoder.kvHeads) of keys) of "
        + "\(decoder.headDim), MLP \(decoder.ffn), vocabulary \(decoder.vocabulary)")
    if decoder.cutCaches.count < decoder.layers {
      let nets = decoder.mixers.count { $0 == .deltaNet }
      let windows = decoder.layers - nets - decoder.cutCaches.count
      add(
        "layers",
        "\(decoder.cutCaches.count) attend to all rows, \(windows) to a window, \(nets) are gated delta nets")
    }
    if let length = try MultimodalModel.contextLength(checkpoint.config) { add("context", "\(length) tokens") }
    let file = try checkpoint.processorFile
    let processor = try ProcessorConfig.load(checkpoint)
    let place = checkpoint.vocabulary == nil ? file?.file : "keys of the mmproj, and what is published beside them"
    add("processor", "\(place ?? "none: the family's own"): \(text(processor))")
    add("template", try checkpoint.chatTemplateFile ?? "none in the folder: the family's own")
    let tiles = try outline.tiles(of: Self.picture)
    add(
      "tokens",
      "\(try outline.visualTokens(of: Self.picture)) of an image of \(Self.picture), \(tiles.count) "
        + "\(tiles.count == 1 ? "tile" : "tiles") of \(tiles.tile)")
    _ = try Generator(checkpoint, method: nil)  // tokenizer, template and every tensor
    addUnused(checkpoint)
  }

  // MARK: Image tokenizers

  private mutating func describe(_ loaded: LoadedTokenizer) {
    let tokenizer = loaded.tokenizer
    let photo = Self.picture
    let size = tokenizer.prepare(Image(width: photo.width, height: photo.height, colour: [0, 0, 0])).size
    let lengths =
      switch tokenizer.lengths(for: size) {
      case .fixed(let count): "\(count), no fewer"
      case .prefixes(let most): "1 to \(most), coarse to fine"
      }
    addFamily(tokenizer.name, .tokenizer, [:])
    addFiles(loaded.files, sha256: loaded.sha256)
    add("tokens", lengths)
    add("codebook", "\(tokenizer.codebookSize) codes, \(fixed(tokenizer.bitsPerToken, 2)) bits a token")
    add("image", size == photo ? "any size" : "\(size)")
    if !(tokenizer is any PaintingTokenizer) { add("pictures", "none: tokens are not turned back") }
    if let describer = tokenizer as? any FeatureTokenizer {
      add("feature", "\(describer.featureWidth) numbers of a whole picture")
    }
    add("runs", "yes")
  }

  // MARK: GGUF files

  private mutating func describe(_ model: GGUF) {
    let parts = model.files.count
    add("format", "GGUF, version \(model.files[0].version)" + (parts == 1 ? "" : ", \(parts) parts"))
    if let type = model.values["general.architecture"]?.text { add("type", shortened(type)) }
    addFiles(model.files.map(\.file), sha256: nil)
    let kinds = Dictionary(grouping: tensors, by: \.type.rawValue).map { type, tensors in
      (type: type, count: tensors.count, bytes: tensors.reduce(0) { $0 + $1.range.count })
    }
    for kind in kinds.sorted(by: { ($1.bytes, $0.type) < ($0.bytes, $1.type) }) {
      add("tensors", "\(kind.type): \(kind.count) of \(fixed(Double(kind.bytes) * 1e-6, 1)) MB")
    }
    for (key, value) in model.values { add("metadata", "\(shortened(key)): \(text(value))") }
  }

  /// Whether the model of one file runs: all of it is loaded.
  private static func runs(_ model: GGUF, _ path: String) throws -> String {
    guard let architecture = model.values.architecture,
      model.values.contains(where: { $0.key.hasPrefix(architecture + ".") })
    else { return "no: no key describes a model" }
    if let family = try MultimodalModel.familyName(ofProjector: model) {
      return "beside its text model, as tower and projector of \(family)"
    }
    let checkpoint = try Checkpoint(gguf: path)
    _ = try LanguageModel.load(checkpoint)
    _ = try TextTokenizer(checkpoint)
    return "beside its tower and projector (mmproj)"
  }

  private func text(_ value: GGUFValue) -> String {
    switch value {
    case .integer(let number): return "\(number)"
    case .number(let number): return Double(Float(number)) == number ? "\(Float(number))" : "\(number)"
    case .bool(let value): return "\(value)"
    case .text(let text): return shortened(text)
    case .array(let array):
      let first = ((try? array.values(first: 4)) ?? []).map { text($0) }
      return "\(array.count) values: \(first.joined(separator: ", "))" + (array.count > first.count ? ", ..." : "")
    }
  }

  // MARK: Processors

  private func text(_ processor: any TiledProcessor) -> String {
    switch processor {
    case let plain as ImageProcessor: return text(plain)
    case let tiled as AnyResolutionProcessor:
      let sizes = tiled.pinpoints.map { "\($0)" }
      return
        "the whole at \(tiled.thumbnail) and tiles of \(tiled.side) px of \(listed(sizes, limit: 5)); \(text(tiled.tile))"
    case let split as SplittingProcessor:
      let edge = split.longestEdge.map { "long side \($0)" } ?? "as it is"
      let tiles = split.splits ? "tiles of \(split.side) px and the whole" : "one tile of \(split.side) px"
      return "\(edge), \(tiles) (\(split.pixels.filter.rawValue))" + normalisation(split.pixels)
    case let merged as MergedPatchProcessor:
      let area = merged.area.map { "\($0.lowerBound) to \($0.upperBound) pixels" } ?? "as it is"
      return "\(area), \(merged.merge)x\(merged.merge) patches of \(merged.patch) px a token "
        + "(\(merged.pixels.filter.rawValue))" + normalisation(merged.pixels)
    default: return "\(type(of: processor))"
    }
  }

  private func text(_ processor: ImageProcessor) -> String {
    let resize =
      switch processor.resize {
      case .none: "as it is"
      case .shortestEdge(let edge): "short side \(edge)"
      case .exact(let width, let height): "\(width)x\(height)"
      case .covering(let width, let height): "covering \(width)x\(height)"
      case .halvingToShortestEdge(let edge): "halved, then short side \(edge)"
      case .patches(let side, let most): "whole patches of \(side) px, at most \(most)"
      }
    return (processor.padToSquare == nil ? "" : "padded to a square, ") + "\(resize) (\(processor.filter.rawValue))"
      + (processor.crop.map { ", crop \($0)" } ?? "") + normalisation(processor)
  }

  private func normalisation(_ processor: ImageProcessor) -> String {
    ", mean \(processor.mean), deviation \(processor.std)"
  }
}
