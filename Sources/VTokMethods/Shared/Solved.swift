import VTokCore

/// Something that is solved once for every image of a request, when its first tiles arrive.
struct Solved<Value: Sendable>: Sendable {
  private var image: Int?, value: Value?

  mutating func callAsFunction(
    _ view: borrowing View, _ solve: () throws(CompressionError) -> Value
  ) throws(CompressionError) -> Value {
    if let value, image == view.image { return value }
    let found = try solve()
    (image, value) = (view.image, found)
    return found
  }
}

/// The number in `range` whose outcome, which rises with it, is nearest to `target`; of two as near the lower one.
func nearest(to target: Int, in range: ClosedRange<Int>, _ outcome: (Int) -> Int) -> Int {
  var (low, high) = (range.lowerBound, range.upperBound)
  while low < high {  // the first that reaches the target
    let middle = low + (high - low) / 2
    if outcome(middle) >= target { high = middle } else { low = middle + 1 }
  }
  guard high > range.lowerBound else { return high }
  return target - outcome(high - 1) <= abs(outcome(high) - target) ? high - 1 : high
}

/// `total` dealt to `count` tiles as evenly as whole numbers allow; the first ones get what is left over.
func evenly(_ total: Int, to count: Int) -> [Int] {
  (0..<count).map { total / count + ($0 < total % count ? 1 : 0) }
}
