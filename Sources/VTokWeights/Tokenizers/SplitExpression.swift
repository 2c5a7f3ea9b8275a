import Synchronization

/// A regular expression of a pre-tokenizer, matched scalar by scalar.
///
/// It is our own because the standard library's has no bound: `(a+)+b` on forty letters does not end. Here the work is
/// bounded, as `SplitProgram` says. Names of properties are the standard library's.
package final class SplitExpression: Sendable, Equatable {
  /// Why an expression is not taken.
  package struct Refusal: Error {
    package let reason: String
  }

  private let pattern: String
  /// Sets remember what they were asked, so one thread matches at a time.
  private let program: Mutex<SplitProgram>

  package init(_ pattern: String) throws(Refusal) {
    self.pattern = pattern
    program = Mutex(try SplitProgram(try SplitGrammar.tree(of: pattern)))
  }

  package static func == (a: SplitExpression, b: SplitExpression) -> Bool { a.pattern == b.pattern }

  /// Where it matches, from left to right, in scalars; no match is empty.
  package func matches(in text: [Unicode.Scalar]) -> [Range<Int>] {
    program.withLock { program in text.withUnsafeBufferPointer { program.matches(in: $0) } }
  }
}
