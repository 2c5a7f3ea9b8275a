import TestSupport
import Testing
import VTok

/// A rehearsal on noise costs what a run on a picture costs, layer by layer, selection included.
@Suite struct RehearsalTests {
  static let model = try! LoadedModel.load("vtok-tiny")
  static let photo = try! Image.decode(contentsOf: pictures + "/cat.jpg").image

  @Test(
    arguments: Methods.names.filter { isBudgeted($0, for: model.vision.shape) } + [
      "tome:r=13", "zero-tprune:blocks=1/3,similar=30,rate=0.8", "tome:r=9+divprune",
      "zero-tprune:blocks=1,rate=0.5+tome:r=4",
    ], [Budget.ratio(0.25), .tokens(200)])
  func likeARealRun(_ text: String, budget: Budget) throws {
    let spec = try MethodSpec(text)
    let result = try Pipeline(Self.model, method: spec, keep: budget)(Self.photo)
    let rehearsed = try Rehearsal.cost(spec.make(budget: budget), on: Self.model.vision.shape)
    #expect(rehearsed == result.cost)
  }

  @Test func denseIsDense() throws {
    let shape = Self.model.vision.shape
    #expect(try Rehearsal.cost([], on: shape) == Cost(denseWith: shape.tower!.patches, shape: shape))
  }

  /// A published tower of every family, and one with two tokens before the patches.
  static let towers =
    Families.all.filter { $0.kind == .tower }.compactMap { $0.published.first?.name } + ["deit-s-distilled"]

  /// They can be rehearsed with every method that fits them; the others refuse before anything runs.
  @Test(arguments: towers)
  func methodsRunOrRefuse(_ name: String) throws {
    let shape = try #require(Shape.published(name))
    var served: [String] = []
    for method in Methods.names {
      let text = method == "generic-explain" ? "generic-explain:weights=net" : method
      let methods = try MethodSpec(text).make(budget: .ratio(0.5)) { _ in relevanceNet }
      guard (try? Composition(methods, for: shape)) != nil else { continue }
      served.append(method)
      let trace = try Rehearsal.trace(methods, on: shape)
      guard try MethodSpec(method).usesJobBudget else { continue }
      #expect(trace.towerOutput[0] - shape.tower!.prefix == shape.tower!.patches / 2 || method == "downsample")
    }
    #expect(Set(served).isSuperset(of: ["tome", "zero-tprune", "divprune", "random", "downsample"]))
  }
}
