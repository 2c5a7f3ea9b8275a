import TestSupport
import Testing
import VTok

/// Budgets solved for a cost.
@Suite struct TargetTests {
  static let shape = Shape.published("deit-s")!
  let shape = Self.shape

  @Test(arguments: Methods.names.filter { isBudgeted($0, for: shape) }, [2.5, 3.08, 3.97])
  func gmacs(_ name: String, target: Double) throws {
    let spec = try MethodSpec(name)
    let range = try [Budget.tokens(name == "downsample" ? 1 : 2), .tokens(196)].map {
      try Rehearsal.cost(spec.make(budget: $0), on: shape).gmacs
    }
    guard target >= range[0] else {
      #expect(throws: CompressionError.self) { try TargetSolver.solve(.gmacs(target), spec, on: shape) }
      return
    }
    let solution = try TargetSolver.solve(.gmacs(target), spec, on: shape)
    #expect(solution.reached <= target)
    let cost = try Rehearsal.cost(spec.make(budget: solution.budget), on: shape)
    #expect(cost.gmacs == solution.reached)
    // One token more would cost too much.
    guard case .tokens(let tokens) = solution.budget else { return }
    #expect(try Rehearsal.cost(spec.make(budget: .tokens(tokens + 1)), on: shape).gmacs > target)
  }

  @Test func meanTokens() throws {
    let solution = try TargetSolver.solve(.meanTokens(130), MethodSpec("tome"), on: shape)
    #expect(solution.reached <= 130 && solution.reached > 129)
  }

  @Test func theDenseCostIsReached() throws {
    let dense = Cost(denseWith: 196, shape: shape).gmacs
    #expect(try TargetSolver.solve(.gmacs(dense), MethodSpec("tome"), on: shape).budget == .tokens(196))
  }

  @Test func whatCannotBeReachedNamesTheRange() throws {
    let error = #expect(throws: CompressionError.self) {
      try TargetSolver.solve(.gmacs(9), MethodSpec("tome"), on: shape)
    }
    #expect(error?.description.contains("to 4.599 GMACs") == true)
    #expect(throws: CompressionError.self) { try TargetSolver.solve(.gmacs(0.1), MethodSpec("tome"), on: shape) }
  }

  /// Any measure that rises will do; the smallest budgets may be refused.
  @Test func bisectionFindsTheLargestThatFits() throws {
    for limit in 3...90 {
      let solution = try TargetSolver.solve(.gmacs(Double(limit)), title: "x", patches: 100) { budget in
        guard case .tokens(let tokens) = budget, tokens >= 3 else {
          throw CompressionError.unreachable(method: "x", asked: "", reachable: "", fix: "")
        }
        return Double(min(tokens, 90))
      }
      #expect(solution.budget == .tokens(limit == 90 ? 100 : limit))
    }
  }

  @Test func millisecondsOfTheModelItself() throws {
    let model = try LoadedModel.load("vtok-tiny")
    let dense = try model.solve(.gmacs(Cost(denseWith: 256, shape: model.vision.shape).gmacs), MethodSpec("tome"))
    #expect(dense.budget == .tokens(256))
    #expect(throws: CompressionError.self) { try model.solve(.milliseconds(1e-3), MethodSpec("tome")) }
  }

  /// A ledger must not take milliseconds for multiply-adds.
  @Test func aTimeIsNotSolvedOnALedger() throws {
    #expect(throws: CompressionError.self) { try TargetSolver.solve(.milliseconds(3), MethodSpec("tome"), on: shape) }
    let model = try #require(ModelOutline.published("llava-1.5-7b"))
    let prompt = Rehearsal.Prompt(picture: Size(336), text: 8, newTokens: 1)
    #expect(throws: CompressionError.self) {
      try TargetSolver.solve(.milliseconds(3000), MethodSpec("divprune"), of: model, prompt: prompt)
    }
    #expect(try TargetSolver.solve(.gmacs(3000), MethodSpec("divprune"), of: model, prompt: prompt).reached <= 3000)
  }
}
