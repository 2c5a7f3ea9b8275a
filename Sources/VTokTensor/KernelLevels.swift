import CVTokKernels

/// The instructions that products of a kind are written in.
package enum KernelLevels {
  /// Those that this processor has, from the best to the plain ones, with the numbers that kernels know them by.
  package static func running(_ kind: vtok_product_kind) -> [(name: String, number: Int)] {
    (0..<vtok_level_count(kind)).filter { vtok_level_runs(kind, $0) != 0 }
      .map { (String(cString: vtok_level_name(kind, $0)), $0) }
  }
}
