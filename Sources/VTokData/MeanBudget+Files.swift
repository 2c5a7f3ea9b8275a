import VTokEval
import VTokImage

extension MeanBudget {
  /// What there is to see in every cell of some files, in their order; those that cannot be read are left out.
  public static func details(of files: [InputFile], decode: DecodeOptions, threads: Int) throws -> [[Float]] {
    try inOrder(files.count, threads: threads, progress: { _, _, _ in }, isCancelled: { false }) { index in
      (try? files[index].read().decoded(options: decode)).map { (detail(of: $0.image), true) }
        ?? ([], false)
    }.filter { !$0.isEmpty }
  }
}
