import CVTokKernels
import VTokTensor
import VTokWeights

/// QueCC: few visual tokens, each a square of the grid seen through the question. A depthwise convolution makes one query of
/// every square, after the question was added to the patches; it attends to the patches of its square, at four depths of the
/// tower.
///
/// Li et al., "Inference Optimal VLMs Need Fewer Visual Tokens and More Parameters", ICLR 2025 (arXiv 2411.03312);
/// locuslab/llava-token-compression, `multimodal_projector/quecc.py`. Trained with its model; stands before the projector.
package struct QueCC: Sendable {
  /// What `config.json` says.
  struct Settings: Sendable {
    /// Patches along the edge of the grid, of a window of the convolution, from one window to the next, of a square.
    let grid: Int, kernel: Int, stride: Int, cell: Int
    /// Width of the question's vector.
    let text: Int
    /// Hidden states of the tower that keys and values are made of; 0 enters block 0.
    let states: [Int]

    /// Late ones of CLIP-L, literally as the official code has them. A tower of another depth needs its own, which
    /// `mm_vision_token_compression_states` names: a key of ours.
    static let published = [12, 16, 22, 23]

    /// Squares along an edge.
    var side: Int { grid / cell }

    private static let key = "mm_vision_token_compression_type"

    /// Whether a configuration names a trained compressor, of whatever kind.
    static func isNamed(in config: Config) -> Bool { config.has(key) }

    /// nil where the configuration has no such connector.
    init?(_ config: Config, grid: Int) throws {
      guard let type = try config.string(Self.key) else { return nil }
      guard type == "quecc" else { throw config.unfit(Self.key, "quecc") }
      let key = "mm_vision_token_compression_states"
      let states = try config.ints(key) ?? Self.published
      guard !states.isEmpty else { throw config.unfit(key, "numbers of hidden states") }
      try self.init(
        grid: grid, kernel: config.int("mm_vision_token_compression_kernel_size", 4),
        stride: config.int("mm_vision_token_compression_stride", 4),
        text: config.int("mm_vision_output_text_embedding_size", 4096), states: states)
    }

    /// Squares and windows must both tile the grid, or the official code fails.
    init(grid: Int, kernel: Int, stride: Int, text: Int, states: [Int]) throws {
      let side = kernel <= grid ? (grid - kernel) / stride + 1 : 0
      guard side > 0, grid % side == 0 else {
        throw ModelError.configuration(
          file: "config.json", key: "mm_vision_token_compression_stride", found: "\(stride) with windows of \(kernel)",
          expected: "windows whose number divides the \(grid) patches along an edge")
      }
      self.grid = grid
      self.kernel = kernel
      self.stride = stride
      cell = grid / side
      self.text = text
      self.states = states
    }

    /// Rows of every square, square by square.
    var groups: [[Int32]] {
      (0..<side * side).map { square in
        let (top, left) = (square / side * cell, square % side * cell)
        return (0..<cell * cell).map { Int32((top + $0 / cell) * grid + left + $0 % cell) }
      }
    }

    /// Multiply-adds for every token that leaves: its share of the three MLPs and of the question, its window and square.
    func macs(width c: Int) -> Int {
      let patch = 2 * c * c + 2 * (states.count * c * c + c * c) + 2 * c * c + 2 * c
      return cell * cell * patch + kernel * kernel * c + 2 * c * c + text * c / (side * side)
    }
  }

  /// `norm(second(gelu(first(x))))`
  private struct Projection: Sendable {
    let first: Linear, second: Linear
    let norm: LayerNorm

    init(_ view: Checkpoint, width: Int, from input: Int) throws {
      first = try view.linear("0", [width, input])
      second = try view.linear("2", [width, width])
      norm = try view.norm("3", width, epsilon: QueCC.epsilon)
    }

    func callAsFunction(_ x: Tensor, _ threads: Int) -> Tensor {
      var y = first(x, threads: threads)
      y.activate(.gelu)
      return norm(second(y, threads: threads))
    }
  }

  private static let epsilon: Float = 1e-6
  private static let heads = 8

  let settings: Settings
  private let query: Projection, key: Projection, value: Projection
  private let question: (projection: Linear, norm: LayerNorm)
  /// `[width, kernel * kernel]`
  private let window: Tensor
  private let windowBias: [Float]
  private let attention: (query: Linear, key: Linear, value: Linear, output: Linear)

  /// - Parameters:
  ///   - width: of the tower.
  ///   - states: width of all states of the tower that keys and values are made of, beside each other.
  init(_ view: Checkpoint, _ settings: Settings, width: Int, states: Int) throws {
    guard width % Self.heads == 0 else {
      throw ModelError.configuration(
        file: "config.json", key: "hidden_size", found: "\(width)", expected: "a multiple of \(Self.heads) for quecc")
    }
    self.settings = settings
    query = try Projection(view["q_proj"], width: width, from: width)
    key = try Projection(view["k_proj"], width: width, from: states)
    value = try Projection(view["v_proj"], width: width, from: states)
    question = (
      try view.linear("text_projection.0", [width, settings.text]),
      try view.norm("text_projection.1", width, epsilon: Self.epsilon)
    )
    window = try view.tensor("q_downsample.weight", [width, 1, settings.kernel, settings.kernel])
      .reshaped([width, settings.kernel * settings.kernel])
    windowBias = try view.vector("q_downsample.bias", [width])
    let stacked = try view.tensor("clip_attn.in_proj_weight", [3 * width, width])
    let biases = try view.vector("clip_attn.in_proj_bias", [3 * width])
    func third(_ index: Int) -> Linear {
      let rows = Array(index * width..<(index + 1) * width)
      return Linear(weight: Weight(stacked.gathered(rows)).packed, bias: rows.map { biases[$0] })
    }
    attention = (third(0), third(1), third(2), try view.linear("clip_attn.out_proj", [width, width]))
  }

  /// For goldens: a module of its own.
  package init(_ view: Checkpoint, grid: Int, kernel: Int, stride: Int, text: Int, width: Int, states: Int) throws {
    let settings = try Settings(
      grid: grid, kernel: kernel, stride: stride, text: text, states: Settings.published)
    try self.init(view, settings, width: width, states: states)
  }

  package struct Result {
    /// `[squares, width]`
    package let tokens: Tensor, queries: Tensor
    /// `[1, width]`
    package let question: Tensor
  }

  /// - Parameters:
  ///   - x: patches `[grid * grid, width]`.
  ///   - states: the same patches at several depths `[grid * grid, states]`.
  ///   - question: `[1, text]`
  package func callAsFunction(_ x: Tensor, states: Tensor, question text: Tensor, threads: Int = 1) -> Result {
    let (patches, width) = (x.rows, x.width)
    precondition(patches == settings.grid * settings.grid && states.rows == patches && text.width == settings.text)
    let question = question.norm(question.projection(text))
    let asked = Tensor(shape: x.shape) { out in
      for index in 0..<patches * width { out[index] = x.values[index] + question.values[index % width] }
    }
    let queries = downsampled(query(asked, threads))
    let q = attention.query(queries, threads: threads)
    let k = attention.key(key(states, threads), threads: threads)
    let v = attention.value(value(states, threads), threads: threads)
    let (headDim, scale) = (width / Self.heads, 1 / (Float(width) / Float(Self.heads)).squareRoot())
    let mixed = Tensor(shape: [queries.rows, width]) { out in
      out.update(repeating: 0, count: queries.rows * width)
      for (square, rows) in settings.groups.enumerated() {
        for head in 0..<Self.heads {
          let first = head * headDim
          func slice(_ x: Tensor, _ row: Int) -> ArraySlice<Float> { x.row(row).dropFirst(first).prefix(headDim) }
          let own = slice(q, square)
          let weights = softmax(rows.map { row in zip(own, slice(k, Int(row))).reduce(0) { $0 + $1.0 * $1.1 } * scale })
          for (row, weight) in zip(rows, weights) {
            for (column, value) in slice(v, Int(row)).enumerated() {
              out[square * width + first + column] += weight * value
            }
          }
        }
      }
    }
    return Result(tokens: attention.output(mixed, threads: threads), queries: queries, question: question)
  }

  /// The depthwise convolution: one row per window. `[squares, width]`
  private func downsampled(_ x: Tensor) -> Tensor {
    let (side, width, kernel) = (settings.side, x.width, settings.kernel)
    return Tensor(shape: [side * side, width]) { out in
      for square in 0..<side * side {
        let (top, left) = (square / side * settings.stride, square % side * settings.stride)
        let row = out + square * width
        row.update(from: windowBias, count: width)
        for place in 0..<kernel * kernel {
          let patch = (top + place / kernel) * settings.grid + left + place % kernel
          for column in 0..<width {
            row[column] += window.values[column * kernel * kernel + place] * x.values[patch * width + column]
          }
        }
      }
    }
  }
}
