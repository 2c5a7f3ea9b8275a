import VTokModels
import VTokTensor
import VTokWeights

/// The classes that a published FlexTok configuration names (`apple/ml-flextok`). Nothing is instantiated by name: what is
/// not in this list is refused.
enum FlexTokClass: String {
  case wrapper = "flextok.flextok_wrapper.FlexTok"
  case sequence = "flextok.model.utils.wrappers.SequentialModuleDictWrapper"
  case autoencoder = "flextok.vae_wrapper.StableDiffusionVAE"
  case quantizer = "flextok.regularizers.quantize_fsq.FSQ"
  case pipeline = "flextok.flow_matching.pipelines.MinRFPipeline"
  case perSample = "flextok.model.utils.dict_ops.PerSampleOp"
  case patches = "flextok.model.preprocessors.patching.PatchEmbedder"
  case positions = "flextok.model.utils.posembs.PositionalEmbeddingAdder"
  case registers = "flextok.model.preprocessors.registers.Registers1D"
  case linear = "flextok.model.preprocessors.linear.LinearLayer"
  case nestedDropout = "flextok.model.preprocessors.token_dropout.MaskedNestedDropout"
  case learnedNull = "flextok.model.preprocessors.nullcond.LearnedNullCond"
  case zeroNull = "flextok.model.preprocessors.nullcond.ZeroNullCond"
  case timeEmbedder = "flextok.model.preprocessors.time_embedding.TimestepEmbedder"
  case packer = "flextok.model.preprocessors.flex_seq_packing.BlockWiseSequencePacker"
  case transformer = "flextok.model.trunks.transformers.FlexTransformer"
  case unpacker = "flextok.model.postprocessors.seq_unpacking.SequenceUnpacker"
  case head = "flextok.model.postprocessors.heads.LinearHead"
  case patchHead = "flextok.model.postprocessors.heads.ToPatchesLinearHead"
}

/// A part of a FlexTok configuration, with the tensors below the same name.
struct FlexTokModule {
  let kind: FlexTokClass
  /// Keys from the root of the configuration.
  let path: String
  let config: JSON
  /// The same, read with ranges.
  let settings: Config
  /// `decoder.module_dict.dec_transformer`: path and prefix of the tensors are the same.
  let tensors: Checkpoint

  init(_ config: JSON, _ path: String, _ checkpoint: Checkpoint) throws {
    let section = try Config(json: config, file: checkpoint.name).section(path)
    let target = try section.string("_target_")
    guard let kind = target.flatMap(FlexTokClass.init) else {
      throw section.unfit("_target_", "a class of FlexTok that is known")
    }
    self.kind = kind
    self.path = path
    tensors = checkpoint[path]
    settings = section
    self.config = section.json
  }

  /// A layer that has a bias unless `proj_bias` says no.
  func linear(_ name: String, _ shape: [Int?]) throws -> Linear {
    try tensors.linear(name, shape, bias: settings.bool("proj_bias", true))
  }

  func unfit(_ key: String, _ found: String, _ expected: String) -> ModelError {
    .configuration(file: tensors.name, key: "\(path).\(key)", found: found, expected: expected)
  }

  /// Refuses another value at `key` (keys joined with dots) than the one that is implemented; absent counts as it.
  func require(_ key: String, _ expected: JSON) throws {
    let found = key.split(separator: ".").reduce(config as JSON?) { $0?[String($1)] }
    guard let found, found != expected else { return }
    throw unfit(key, found.text(), expected.text())
  }

  func require(_ kind: FlexTokClass) throws -> FlexTokModule {
    guard self.kind == kind else { throw unfit("_target_", "'\(self.kind.rawValue)'", "'\(kind.rawValue)'") }
    return self
  }
}

/// The modules of the encoder or the decoder, in the order in which they run.
struct FlexTokModules {
  private let all: [FlexTokModule]
  private let path: String
  private let file: String

  init(_ config: JSON, _ path: String, _ checkpoint: Checkpoint) throws {
    _ = try FlexTokModule(config, path, checkpoint).require(.sequence)
    self.path = path + ".module_dict"
    file = checkpoint.name
    all = try (config.value(at: self.path)?.object ?? JSONObject()).map {
      try FlexTokModule(config, "\(path).module_dict.\($0.key)", checkpoint)
    }
  }

  /// The only module of these classes for which `isMeant` holds.
  func one(_ kinds: FlexTokClass..., where isMeant: (FlexTokModule) -> Bool = { _ in true }) throws -> FlexTokModule {
    let found = all.filter { kinds.contains($0.kind) && isMeant($0) }
    guard found.count == 1 else {
      throw ModelError.configuration(
        file: file, key: path,
        found: "\(found.count) modules of class \(kinds.map(\.rawValue).joined(separator: " or "))",
        expected: "one")
    }
    return found[0]
  }

  /// The adder of positions on a line or on a grid.
  func positions(axes: Int) throws -> FlexTokModule {
    try one(.positions) { $0.config["max_sizes"]?.array?.count == axes }
  }

  /// Refuses modules that run in another order than this one: they would compute something else.
  func requireOrder(_ modules: FlexTokModule...) throws {
    let places = modules.map { module in all.firstIndex { $0.path == module.path }! }
    guard places == places.sorted() else {
      throw ModelError.configuration(
        file: file, key: path,
        found: "the order \(all.map { $0.path.split(separator: ".").last! }.joined(separator: ", "))",
        expected: modules.map { $0.path.split(separator: ".").last! }.joined(separator: " before "))
    }
  }
}
