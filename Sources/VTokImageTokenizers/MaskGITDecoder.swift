import CVTokKernels
import VTokModels
import VTokTensor
import VTokWeights

/// The pixel decoder of MaskGIT's VQGAN, as One-D-Piece and TiTok carry it (`modeling/modules/maskgit_vqgan.py`): from a
/// map of code vectors to pixels, twice as wide and high after each level but the last.
package struct MaskGITDecoder: Sendable {
  /// Two normed convolutions beside a shortcut.
  private struct ResidualBlock: Sendable {
    let norm1: GroupNorm, conv1: Convolution
    let norm2: GroupNorm, conv2: Convolution
    /// Where the number of channels changes.
    let shortcut: Convolution?

    var outputs: Int { conv2.outputs }

    init(_ checkpoint: Checkpoint, inputs: Int) throws {
      let first = try checkpoint.tensor("conv1.weight", [nil, inputs, 3, 3])
      let outputs = first.shape[0]
      conv1 = Convolution(first, bias: nil)
      conv2 = Convolution(try checkpoint.tensor("conv2.weight", [outputs, outputs, 3, 3]), bias: nil)
      norm1 = try MaskGITDecoder.layers.norm(checkpoint, "norm1", inputs)
      norm2 = try MaskGITDecoder.layers.norm(checkpoint, "norm2", outputs)
      shortcut =
        inputs == outputs
        ? nil : Convolution(try checkpoint.tensor("nin_shortcut.weight", [outputs, outputs, 1, 1]), bias: nil)
    }

    func callAsFunction(_ x: Tensor, _ memory: ConvolutionMemory, _ threads: Int) -> Tensor {
      let inner = conv1(x, after: norm1, memory, threads: threads)
      guard let shortcut else {
        var sum = x
        conv2.add(inner, after: norm2, to: &sum, memory, threads: threads)
        return sum
      }
      // The shortcut is applied to the branch, and the input is dropped: a slip of the code that the weights learned with.
      let branch = conv2(inner, after: norm2, memory, threads: threads)
      var sum = branch
      shortcut.add(branch, to: &sum, memory, threads: threads)
      return sum
    }
  }

  private static let layers = MapLoader(groups: 32)

  private struct Level: Sendable {
    let blocks: [ResidualBlock]
    let upsample: Convolution?
  }

  private let input: Convolution
  private let middle: [ResidualBlock]
  /// From the smallest map to the largest.
  private let levels: [Level]
  private let norm: GroupNorm
  private let output: Convolution

  /// Pixels across one code.
  package var scale: Int { 1 << (levels.count - 1) }
  /// Length of a code vector.
  package var codeWidth: Int { input.inputs }

  package init(_ checkpoint: Checkpoint) throws {
    input = try Self.layers.convolution(checkpoint, "conv_in", inputs: nil)
    var channels = input.outputs
    func block(_ view: Checkpoint) throws -> ResidualBlock {
      let block = try ResidualBlock(view, inputs: channels)
      channels = block.outputs
      return block
    }
    middle = try (0..<checkpoint.count("mid")).map { try block(checkpoint["mid"][$0]) }
    levels = try (0..<checkpoint.count("up")).reversed().map { index in
      let view = checkpoint["up"][index]
      let blocks = try (0..<view.count("block")).map { try block(view["block"][$0]) }
      let upsample =
        index == 0 ? nil : try Self.layers.convolution(view, "upsample_conv", inputs: channels, size: .double)
      channels = upsample?.outputs ?? channels
      return Level(blocks: blocks, upsample: upsample)
    }
    output = try Self.layers.convolution(checkpoint, "conv_out", inputs: channels, outputs: 3)
    norm = try Self.layers.norm(checkpoint, "norm_out", output.inputs)
    guard !levels.isEmpty else {
      throw ModelError.configuration(
        file: checkpoint.name, key: "pixel_decoder.up", found: "no levels", expected: "one or more")
    }
  }

  /// Codes `[rows, columns, codeWidth]` to RGB `[scale * rows, scale * columns, 3]`, about 0...1.
  package func callAsFunction(_ codes: Tensor, threads: Int = 1) -> Tensor {
    let memory = ConvolutionMemory()
    var x = input(codes, memory, threads: threads)
    for block in middle { x = block(x, memory, threads) }
    for level in levels {
      for block in level.blocks { x = block(x, memory, threads) }
      if let upsample = level.upsample { x = upsample(x, memory, threads: threads) }
    }
    return output(x, after: norm, memory, threads: threads)
  }
}
