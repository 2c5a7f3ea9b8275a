import VTokLibC

/// Quantiles of any number of positive values in bounded memory: counts in steps of one per cent, from a nanosecond to a
/// day if the values are milliseconds. A quantile is off by half a per cent at most.
struct QuantileSketch: Sendable {
  private static let smallest = 1e-6, step = 1.01, steps = 3300
  private var counts: [Int] = []
  private(set) var count = 0

  mutating func add(_ value: Double) {
    if counts.isEmpty { counts = [Int](repeating: 0, count: Self.steps) }
    let place = log(max(value, Self.smallest) / Self.smallest) / log(Self.step)
    counts[min(Self.steps - 1, Int(place))] += 1
    count += 1
  }

  /// NaN for no values.
  var median: Double {
    var left = (count + 1) / 2
    for (place, count) in counts.enumerated() where count > 0 {
      left -= count
      if left <= 0 { return Self.smallest * pow(Self.step, Double(place) + 0.5) }
    }
    return .nan
  }
}

extension QuantileSketch {
  mutating func add(_ other: QuantileSketch) {
    if counts.isEmpty {
      self = other
    } else {
      for (place, count) in other.counts.enumerated() { counts[place] += count }
      count += other.count
    }
  }
}

/// Times of any number of images, stage by stage.
struct StageTimes: Sendable {
  private var decode = QuantileSketch(), preprocess = QuantileSketch(), tower = QuantileSketch()
  private var selection = QuantileSketch(), write = QuantileSketch()

  mutating func add(_ times: ManifestRow.Times) {
    decode.add(times.decode)
    preprocess.add(times.preprocess)
    tower.add(times.tower)
    selection.add(times.selection)
    write.add(times.write)
  }

  mutating func add(_ other: StageTimes) {
    decode.add(other.decode)
    preprocess.add(other.preprocess)
    tower.add(other.tower)
    selection.add(other.selection)
    write.add(other.write)
  }

  var medians: ManifestRow.Times {
    ManifestRow.Times(
      decode: decode.median, preprocess: preprocess.median, tower: tower.median, selection: selection.median,
      write: write.median)
  }
}
