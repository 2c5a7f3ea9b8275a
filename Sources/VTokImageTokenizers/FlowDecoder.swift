import CVTokKernels
import VTokLibC
import VTokTensor
import VTokWeights

/// FlexTok's decoder (arXiv 2502.13967, section 2): the velocity of a rectified flow from noise to latents, given the first
/// k codes of a picture.
package struct FlowDecoder: Sendable {
  let patches: LatentPatches
  /// From the dimensions of the quantiser.
  let projection: Linear
  /// `[registers, width]`
  let positions: Tensor
  /// Stands for every register that is not given, without position. `[width]`
  let maskToken: [Float]
  /// Stands for every register where there is no condition. `[width]`
  let nullToken: [Float]
  /// Whether it stands there once, not once for each register.
  let nullIsSingle: Bool
  package let time: TimeEmbedding
  let transformer: FlexTransformer
  /// `[2 width, width]` of SiLU of the time embedding: shift, then scale of the output's norm.
  let headModulation: Linear
  let head: Linear

  /// Register rows that a velocity is conditioned on.
  package struct Condition: Sendable {
    /// `[rows, width]`
    let rows: Tensor
    /// How many equal registers the last row stands for.
    var repeats = 1
  }

  /// The first registers of a picture.
  /// - Parameters:
  ///   - codes: `[k, levels]`, k from 1 to all.
  ///   - collapsed: registers beyond k are equal where they enter and therefore everywhere, so one row stands for them
  ///     (its key weighs as much as theirs together). False: all of them, as the official code does; the same up to rounding.
  package func condition(_ codes: Tensor, collapsed: Bool = true) -> Condition {
    let (all, width) = (positions.rows, positions.width)
    precondition((1...all).contains(codes.rows), "\(codes.rows) codes of \(all)")
    var rows = projection(codes)
    vtok_add_residual(&rows.values, positions.values, rows.rows, width, nil, nil)
    let missing = all - codes.rows
    return masked(rows, by: maskToken, missing, collapsed)
  }

  /// No picture in particular.
  package func unconditional(collapsed: Bool = true) -> Condition {
    masked(Tensor([], shape: [0, positions.width]), by: nullToken, nullIsSingle ? 1 : positions.rows, collapsed)
  }

  private func masked(_ rows: Tensor, by token: [Float], _ count: Int, _ collapsed: Bool) -> Condition {
    guard count > 0 else { return Condition(rows: rows) }
    let copies = collapsed ? 1 : count
    return Condition(
      rows: Tensor(
        rows.values + (0..<copies).flatMap { _ in token }, shape: [rows.rows + copies, rows.width]),
      repeats: count / copies)
  }

  /// Velocities at `latents` `[channels, height, width]` and time `t` (1 noise, 0 picture), one for each condition; they
  /// share every product with the weights.
  package func callAsFunction(_ latents: Tensor, at t: Float, _ conditions: [Condition], threads: Int = 1) -> [Tensor] {
    let grid = patches.grid(latents)
    let entering = patches(latents, threads: threads)
    let width = entering.width
    var spans: [FlexTransformer.Span] = []
    var values: [Float] = []
    for condition in conditions {
      spans.append(
        FlexTransformer.Span(
          start: values.count / width, patches: entering.rows, registers: condition.rows.rows,
          lastKeyBias: logf(Float(condition.repeats))))
      values += entering.values
      values += condition.rows.values
    }
    var x = Tensor(values, shape: [values.count / width, width])
    var embedding = time(t, threads: threads)
    embedding.activate(.silu)
    transformer(&x, spans, transformer.modulations(embedding.values, threads: threads), threads: threads)
    let modulation = headModulation(embedding, threads: threads).values
    let norm = LayerNorm(
      weight: modulation[width...].map { 1 + $0 }, bias: Array(modulation[..<width]), epsilon: FlexTransformer.epsilon)
    return spans.map { span in
      let out = head(norm(x.gathered(Array(span.start..<span.start + span.patches))), threads: threads)
      return patches.unpatchify(out, grid)
    }
  }

  static func load(_ config: JSON, _ checkpoint: Checkpoint, channels: Int, levels: Int, registers: Int) throws
    -> FlowDecoder
  {
    let modules = try FlexTokModules(config, "decoder", checkpoint)
    let linear = try modules.one(.linear)
    let line = try modules.positions(axes: 1)
    let dropout = try modules.one(.nestedDropout)
    let null = try modules.one(.learnedNull, .zeroNull)
    let embedder = try modules.one(.patches)
    let adder = try modules.positions(axes: 2)
    let packer = try modules.one(.packer)
    let time = try modules.one(.timeEmbedder)
    let trunk = try modules.one(.transformer)
    let head = try modules.one(.patchHead)
    try modules.requireOrder(linear, line, dropout, null, packer, trunk, head)
    try modules.requireOrder(embedder, adder, packer)
    try modules.requireOrder(time, trunk)
    try packer.requireInputs(adder.config["write_key"], null.config["read_write_key"])
    try packer.require("mask_mode", "full")
    try line.require("posemb_scaling", "absolute")
    // The keys by which the official pipeline asks for a prefix and for no condition.
    if dropout.config["eval_keep_k_read_key"] == .null {
      throw dropout.unfit("eval_keep_k_read_key", "null", "a key: without one the model has a fixed length")
    }
    try null.require("eval_drop_flag_read_key", "eval_dropout_mask")
    try head.require("use_mup_readout", false)
    guard head.config.value(at: "adaLN_emb_read_key") != nil else {
      throw head.unfit("adaLN_emb_read_key", "absent", "the key of the time embedding")
    }
    let transformer = try FlexTransformer.load(trunk, mask: .full, isModulated: true)
    let width = transformer.width
    let patches = try LatentPatches.load(embedder, adder, channels: channels, width: width)
    try head.require("patch_sizes", embedder.config["patch_sizes"] ?? .null)
    let table = try line.tensors.tensor("posembs", [1, 1, width, nil])
    guard table.width >= registers else {
      throw line.unfit("max_sizes", "\(table.width) positions", "as many as registers, \(registers)")
    }
    return FlowDecoder(
      patches: patches, projection: try linear.linear("proj", [width, levels]),
      positions: Tensor(
        (0..<registers * width).map { table.values[$0 % width * table.width + $0 / width] },
        shape: [registers, width]), maskToken: try dropout.tensors.vector("dropout_mask_token", [width]),
      nullToken: null.kind == .zeroNull
        ? [Float](repeating: 0, count: width) : try null.tensors.vector("nullcond", [width]),
      nullIsSingle: try null.settings.bool("replace_with_single_token", false),
      time: try TimeEmbedding.load(time, width), transformer: transformer,
      headModulation: Linear(
        weight: try head.tensors.weight("adaLN_modulation.1.weight", [2 * width, width]),
        bias: try head.settings.bool("adaLN_bias", true)
          ? head.tensors.vector("adaLN_modulation.1.bias", [2 * width]) : nil),
      head: try head.linear("proj", [patches.side * patches.side * channels, width]))
  }
}

/// A moment in 0...1 as a row: cosines and sines of it, then two layers.
package struct TimeEmbedding: Sendable {
  let scale: Float
  let first: Linear, second: Linear

  /// `[1, width]`
  package func callAsFunction(_ t: Float, threads: Int = 1) -> Tensor {
    var x = first(frequencies(t), threads: threads)
    x.activate(.silu)
    return second(x, threads: threads)
  }

  /// Cosines, then sines of t at frequencies that fall from `scale` to `scale / 256` (the period of 256 is this model's).
  /// The argument reaches 1000, so it is rounded where the official code rounds. `[1, size]`
  package func frequencies(_ t: Float) -> Tensor {
    let half = first.weight.columns / 2
    let arguments = (0..<half).map { index in
      t * (scale * Float(exp(Double(-Float(log(256.0)) * Float(index) / Float(half)))))
    }
    return Tensor(
      arguments.map { Float(cos(Double($0))) } + arguments.map { Float(sin(Double($0))) }, shape: [1, 2 * half])
  }

  static func load(_ module: FlexTokModule, _ width: Int) throws -> TimeEmbedding {
    try module.require("temb_as_tokens", false)
    let size = try module.settings.int("frequency_embedding_size", 256)
    guard size > 0, size % 2 == 0 else { throw module.unfit("frequency_embedding_size", "\(size)", "an even number") }
    let last = try module.settings.double("max_timestep", 1000)
    func linear(_ name: String, _ columns: Int) throws -> Linear {
      Linear(
        weight: try module.tensors.weight("\(name).weight", [width, columns]),
        bias: try module.tensors.vector("\(name).bias", [width]))
    }
    return TimeEmbedding(
      scale: Float(1000 / last), first: try linear("mlp.0", size), second: try linear("mlp.2", width))
  }
}
