import VTokLibC

/// A filter of `Image.resized`. All but `nearest` widen with the scale, so they do not alias.
public enum Resample: String, Sendable, CaseIterable {
  case nearest, lanczos, bilinear, bicubic, box

  /// By Pillow's number, as `resample` in a preprocessor_config.json: 0 nearest, 1 lanczos, 2 bilinear, 3 bicubic,
  /// 4 box. `nil` for any other, 5 (hamming) too.
  public init?(pillow: Int) {
    guard Self.allCases.indices.contains(pillow) else { return nil }
    self = Self.allCases[pillow]
  }

  /// Half the filter's width in pixels at scale 1.
  var support: Double {
    switch self {
    case .nearest: 0
    case .box: 0.5
    case .bilinear: 1
    case .bicubic: 2
    case .lanczos: 3
    }
  }

  /// The filter at distance `x`, as in Pillow's Resample.c.
  func value(_ x: Double) -> Double {
    let distance = abs(x)
    switch self {
    case .nearest: return 1
    case .box: return x > -0.5 && x <= 0.5 ? 1 : 0
    case .bilinear: return distance < 1 ? 1 - distance : 0
    case .bicubic:
      let a = -0.5
      if distance < 1 { return ((a + 2) * distance - (a + 3)) * distance * distance + 1 }
      return distance < 2 ? (((distance - 5) * distance + 8) * distance - 4) * a : 0
    case .lanczos: return x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0
    }
  }
}

private func sinc(_ x: Double) -> Double { x == 0 ? 1 : sin(x * .pi) / (x * .pi) }

/// What each output pixel of one axis takes from the input: the sum over `t < taps[i]` of
/// `weights[i * stride + t] / 2^22` times input pixel `first[i] + t`.
struct AxisWeights {
  private(set) var first: [Int32]
  private(set) var taps: [Int32]
  private(set) var weights: [Int32]
  private(set) var stride: Int

  static let one: Int32 = 1 << 22

  /// Outputs `window` of the axis that takes `input` pixels to `output`.
  ///
  /// The double arithmetic and the rounding are those of Pillow 11.3.0 (`precompute_coeffs`,
  /// `normalize_coeffs_8bpc`, and for `nearest` `ImagingScaleAffine`), operation for operation.
  init(from input: Int, to output: Int, window: Range<Int>, filter: Resample) {
    precondition(input > 0 && output > 0 && window.lowerBound >= 0 && window.upperBound <= output)
    if input == output {
      self.init(pixels: window.map { Int32($0) })
      return
    }
    let scale = Double(input) / Double(output)
    if filter == .nearest {
      var pixels: [Int32] = []
      var position = scale * 0.5
      for x in 0..<window.upperBound {
        if x >= window.lowerBound { pixels.append(Int32(min(Int(position), input - 1))) }
        position += scale  // summed up and not multiplied: the rounding is part of the result
      }
      self.init(pixels: pixels)
      return
    }
    let filterScale = max(scale, 1)
    let support = filter.support * filterScale
    let inverse = 1 / filterScale
    self.init(pixels: [])
    stride = Int(support.rounded(.up)) * 2 + 1
    weights = [Int32](repeating: 0, count: stride * window.count)
    var exact = [Double](repeating: 0, count: stride)
    for (row, x) in window.enumerated() {
      let centre = (Double(x) + 0.5) * scale
      let low = max(Int(centre - support + 0.5), 0)
      let count = min(Int(centre + support + 0.5), input) - low
      var sum = 0.0
      for t in 0..<count {
        exact[t] = filter.value((Double(t + low) - centre + 0.5) * inverse)
        sum += exact[t]
      }
      for t in 0..<count {
        let weight = (sum != 0 ? exact[t] / sum : exact[t]) * Double(Self.one)
        weights[row * stride + t] = Int32(weight < 0 ? weight - 0.5 : weight + 0.5)
      }
      first.append(Int32(low))
      taps.append(Int32(count))
    }
  }

  /// Each output is one input pixel.
  private init(pixels: [Int32]) {
    first = pixels
    taps = [Int32](repeating: 1, count: pixels.count)
    weights = [Int32](repeating: Self.one, count: pixels.count)
    stride = 1
  }

  /// The input pixels that any output takes.
  var inputs: Range<Int> {
    var low = Int.max
    var high = 0
    for (first, taps) in zip(first, taps) {
      low = min(low, Int(first))
      high = max(high, Int(first + taps))
    }
    return min(low, high)..<high
  }

  /// The outputs that take any of the input pixels `range`. Both ends of the taps grow along the axis.
  func outputs(touching range: Range<Int>) -> Range<Int> {
    let low = first.indices.first { Int(first[$0] + taps[$0]) > range.lowerBound } ?? first.count
    let high = first.indices.last { Int(first[$0]) < range.upperBound } ?? -1
    return low..<max(low, high + 1)
  }
}
