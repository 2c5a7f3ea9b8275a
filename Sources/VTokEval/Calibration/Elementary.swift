#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Foundation
#endif

// libm under names that cannot collide with members.
func exponential(_ x: Double) -> Double { exp(x) }
func exponential(_ x: Float) -> Float { expf(x) }
func cosine(_ x: Double) -> Double { cos(x) }
func logarithm(_ x: Double) -> Double { log(x) }
func power(_ x: Double, _ exponent: Double) -> Double { pow(x, exponent) }
func logarithm(_ x: Float) -> Float { logf(x) }
