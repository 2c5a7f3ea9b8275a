import CVTokKernels
import VTokImage
import VTokTensor
import VTokWeights

/// The tokenizer that needs no download: a Karhunen-Loève transform with its bits in order of what they are worth. Our own
/// construction from textbook parts, with no network; the row that learned tokenizers must beat.
///
/// A picture, stretched to a square, is projected on eigenvectors of colours, rows and columns that `Benchmarks/fit-klt.py`
/// fitted to photographs. The distribution of a coefficient, less its mean over its deviation, is a binary tree: a bit says
/// on which side of the mean of its cell it lies. The next bit is always asked of the coefficient whose error it is expected
/// to lessen most, given the cell it is known to lie in; so decoder and encoder agree on the order without a word, and every
/// prefix is a picture. Ten bits make a token, the first the most significant. Pictures come back at their own size.
///
/// Ids are the same on every CPU: what they depend on is summed in one order.
public struct KLTTokenizer: PaintingTokenizer {
  public var name: String { "klt" }
  public var codebookSize: Int { 1 << Self.bitsPerToken }
  /// Longest sequence. Beyond about a thousand tokens entropy coders of the usual kind are the better choice.
  public static let mostTokens = 4096
  private static let bitsPerToken = 10

  /// Eigenvectors as rows and as columns, `[kept, side]` and `[side, kept]`.
  private struct Axis: Sendable {
    let rows: Tensor, columns: Tensor
    init(_ rows: Tensor) {
      self.rows = rows
      columns = rows.transposed
    }
  }
  /// A coefficient that is coded.
  private struct Component: Sendable {
    /// In the coefficients `[3, down, across]`.
    let place: Int
    let mean: Float, deviation: Float
  }

  private let side: Int
  private let colours: Tensor  // [3, 3]
  private let down: Axis, across: Axis
  private let components: [Component]  // deviations descend
  /// By node of the tree, from 1; below node i lie 2 i and 2 i + 1. Index 0 is unused.
  private let cells: [Float], gains: [Float]

  /// - Parameter file: as the script writes it.
  package init(_ file: some TensorFile) throws(WeightError) {
    colours = try file.tensor("colours")
    (down, across) = (Axis(try file.tensor("down")), Axis(try file.tensor("across")))
    side = down.rows.width
    let kept = down.rows.rows
    let (means, deviations) = (try file.tensor("mean").values, try file.tensor("deviation").values)
    let place = try file.integers("place").map(Int.init)
    components = means.indices.map { index in
      let (colour, down, across) = (place[3 * index], place[3 * index + 1], place[3 * index + 2])
      return Component(
        place: (colour * kept + down) * kept + across, mean: means[index], deviation: deviations[index])
    }
    cells = [0] + (try file.tensor("cell").values)
    gains = [0] + (try file.tensor("gain").values)
  }

  public func lengths(for size: Size) -> TokenLengths { .prefixes(Self.mostTokens) }

  public func prepare(_ image: Image) -> Image { image }

  public func encode(_ image: Image, tokens: Int?, threads: Int) throws -> ImageTokens {
    let count = try length(tokens, for: image.size)
    let coefficients = coefficients(of: image)
    var ids = [Int](repeating: 0, count: count)
    var index = 0
    _ = walk(bits: count * Self.bitsPerToken) { component, threshold in
      let isAbove = (coefficients[component.place] - component.mean) / component.deviation > threshold
      ids[index / Self.bitsPerToken] = ids[index / Self.bitsPerToken] << 1 | (isAbove ? 1 : 0)
      index += 1
      return isAbove
    }
    return ImageTokens(ids: ids, size: image.size)
  }

  public func decode(_ tokens: ImageTokens, seed: UInt64, threads: Int) throws -> Image {
    try check(tokens)
    var index = 0
    let nodes = walk(bits: tokens.ids.count * Self.bitsPerToken) { _, _ in
      let shift = Self.bitsPerToken - 1 - index % Self.bitsPerToken
      defer { index += 1 }
      return tokens.ids[index / Self.bitsPerToken] >> shift & 1 == 1
    }
    var coefficients = [Float](repeating: 0, count: 3 * down.rows.rows * across.rows.rows)
    for (component, node) in zip(components, nodes) {
      coefficients[component.place] = component.mean + component.deviation * cells[node]
    }
    return picture(of: coefficients, size: tokens.size)
  }

  // MARK: Bits

  /// Asks for so many bits in coding order and returns the node of the tree that every component has reached.
  /// - Parameter isAbove: whether the component lies above the threshold, in deviations from its mean.
  private func walk(bits: Int, _ isAbove: (Component, Float) -> Bool) -> [Int] {
    var nodes = [Int](repeating: 1, count: components.count)
    func gain(_ index: Int) -> Float {
      let deviation = components[index].deviation
      return deviation * deviation * gains[nodes[index]]
    }
    var queue = GainQueue(descending: components.indices.map { gain($0) })
    for _ in 0..<bits {
      guard let index = queue.first else { break }
      let threshold = cells[nodes[index]]
      nodes[index] = 2 * nodes[index] + (isAbove(components[index], threshold) ? 1 : 0)
      queue.replaceFirst(with: nodes[index] < gains.count ? gain(index) : -1)
    }
    return nodes
  }

  // MARK: Transform

  private func coefficients(of image: Image) -> [Float] {
    let square =
      image.size == Size(side) ? image : image.resized(width: side, height: side, filter: .bicubic)
    let pixels = side * side
    let planes = Tensor(shape: [3 * side, side]) { out in
      for pixel in 0..<pixels {
        let (r, g, b) = (
          Float(square.rgb[3 * pixel]) / 255, Float(square.rgb[3 * pixel + 1]) / 255,
          Float(square.rgb[3 * pixel + 2]) / 255
        )
        for plane in 0..<3 {
          let weights = (colours.values[3 * plane], colours.values[3 * plane + 1], colours.values[3 * plane + 2])
          out[plane * pixels + pixel] = weights.0 * r + weights.1 * g + weights.2 * b
        }
      }
    }
    return along(down.rows, along(across.rows, planes)).values
  }

  private func picture(of coefficients: [Float], size: Size) -> Image {
    let kept = down.rows.rows
    let planes = along(down.columns, along(across.columns, Tensor(coefficients, shape: [3 * kept, kept]))).values
    let pixels = side * side
    let rgb = Tensor(shape: [3, side, side]) { out in
      for channel in 0..<3 {
        for pixel in 0..<pixels {
          out[channel * pixels + pixel] = (0..<3).reduce(0) {
            $0 + colours.values[3 * $1 + channel] * planes[$1 * pixels + pixel]
          }
        }
      }
    }
    let square = Image(pixels: rgb)
    return size == square.size ? square : square.resized(width: size.width, height: size.height, filter: .bicubic)
  }

  /// Products of the rows of three planes with those of `matrix`, each plane transposed: `[3 * n, m]` to `[3 * k, n]`.
  private func along(_ matrix: Tensor, _ planes: Tensor) -> Tensor {
    let rows = planes.rows / 3
    var products = Tensor(zeros: [planes.rows, matrix.rows])
    vtok_exact_products(
      planes.values, planes.rows, planes.width, matrix.values, matrix.rows, matrix.width, matrix.width,
      &products.values)
    let each = products.reshaped([3, rows, matrix.rows])
    return Tensor((0..<3).flatMap { each[plane: $0].transposed.values }, shape: [3 * matrix.rows, rows])
  }
}

/// Indices by gain, the largest first and of equal gains the smallest index: a binary heap.
private struct GainQueue {
  private var heap: [(gain: Float, index: Int)]

  init(descending gains: [Float]) { heap = gains.enumerated().map { ($1, $0) } }  // sorted, hence a heap

  /// nil when nothing is left to gain.
  var first: Int? { heap.first.flatMap { $0.gain >= 0 ? $0.index : nil } }

  mutating func replaceFirst(with gain: Float) {
    let entry = (gain: gain, index: heap[0].index)
    func comes(_ a: (gain: Float, index: Int), before b: (gain: Float, index: Int)) -> Bool {
      a.gain > b.gain || (a.gain == b.gain && a.index < b.index)
    }
    var at = 0
    while case var child = 2 * at + 1, child < heap.count {
      if child + 1 < heap.count, comes(heap[child + 1], before: heap[child]) { child += 1 }
      guard comes(heap[child], before: entry) else { break }
      heap[at] = heap[child]
      at = child
    }
    heap[at] = entry
  }
}
