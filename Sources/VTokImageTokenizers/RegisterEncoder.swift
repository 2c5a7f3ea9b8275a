import VTokTensor
import VTokWeights

/// FlexTok's encoder (arXiv 2502.13967, section 2): patches of latents and learned registers through a transformer in which
/// a register sees no later one, so that the first k registers are the same with or without the rest.
package struct RegisterEncoder: Sendable {
  let patches: LatentPatches
  /// `[count, width]`
  package let registers: Tensor
  let transformer: FlexTransformer
  /// To the dimensions of the quantiser.
  let head: Linear
  private let headNorm: LayerNorm

  /// What the quantiser takes, of the first `count` registers. Only those are run: the cost falls with them.
  /// - Parameter latents: `[channels, height, width]`, scaled.
  /// - Returns: `[count, levels]`
  package func callAsFunction(_ latents: Tensor, count: Int, threads: Int = 1) -> Tensor {
    var x = sequence(latents, count: count, threads: threads)
    transform(&x, count: count, threads: threads)
    return project(x, count: count)
  }

  /// The rows that enter the transformer: patches, then registers. `[patches + count, width]`
  package func sequence(_ latents: Tensor, count: Int, threads: Int = 1) -> Tensor {
    precondition((1...registers.rows).contains(count), "\(count) of \(registers.rows) registers")
    let grid = patches(latents, threads: threads)
    return Tensor(
      grid.values + registers.values.prefix(count * registers.width), shape: [grid.rows + count, grid.width])
  }

  /// - Parameter depth: of the transformer; nil: all blocks.
  package func transform(_ x: inout Tensor, count: Int, depth: Int? = nil, threads: Int = 1) {
    let span = FlexTransformer.Span(start: 0, patches: x.rows - count, registers: count)
    let transformer = transformer.first(depth ?? transformer.blocks.count)
    transformer(&x, [span], transformer.modulations(nil, threads: threads), threads: threads)
  }

  package func project(_ x: Tensor, count: Int) -> Tensor {
    head(headNorm(x.gathered(Array(x.rows - count..<x.rows))))
  }

  static func load(_ config: JSON, _ checkpoint: Checkpoint, channels: Int, levels: Int) throws -> RegisterEncoder {
    let modules = try FlexTokModules(config, "encoder", checkpoint)
    let embedder = try modules.one(.patches)
    let adder = try modules.positions(axes: 2)
    let registers = try modules.one(.registers)
    let packer = try modules.one(.packer)
    let trunk = try modules.one(.transformer)
    let head = try modules.one(.head)
    try modules.requireOrder(embedder, adder, packer, trunk, head)
    try modules.requireOrder(registers, packer)
    try packer.requireInputs(adder.config["write_key"], registers.config["registers_write_key"])
    let mask = try packer.settings.string("mask_mode") ?? "full"
    guard mask == "causal_last" else { throw packer.unfit("mask_mode", "'\(mask)'", "'causal_last'") }
    try registers.require("ordering_mode", "nested")
    let transformer = try FlexTransformer.load(trunk, mask: .causalRegisters, isModulated: false)
    let width = transformer.width
    let count = try registers.settings.int("n_max")
    guard count > 0, try registers.settings.int("n_eval", count) == count else {
      throw registers.unfit("n_max", "\(count)", "1 or more, and the same as n_eval")
    }
    try head.require("use_mup_readout", false)
    try head.require("adaLN_emb_read_key", .null)
    return RegisterEncoder(
      patches: try LatentPatches.load(embedder, adder, channels: channels, width: width),
      registers: try registers.tensors.tensor("registers", [count, width]),
      transformer: transformer, head: try head.linear("proj", [levels, width]),
      headNorm: .plain(width))
  }
}

extension LayerNorm {
  /// Without trained factors.
  static func plain(_ width: Int) -> LayerNorm {
    LayerNorm(
      weight: [Float](repeating: 1, count: width), bias: [Float](repeating: 0, count: width),
      epsilon: FlexTransformer.epsilon)
  }
}

extension FlexTokModule {
  /// Refuses a packer that puts other things together, or in another order.
  func requireInputs(_ first: JSON?, _ second: JSON?) throws {
    let found = config["input_list_read_keys"] ?? .null
    guard let first, let second, found == .array([first, second]) else {
      throw unfit("input_list_read_keys", found.text(), "the patches, then the registers")
    }
  }
}
