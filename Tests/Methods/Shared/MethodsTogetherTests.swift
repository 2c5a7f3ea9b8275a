import Testing
import VTok

/// Which methods run together.
@Suite struct MethodsTogetherTests {
  /// Real methods whose rules, sites or needs do not go together; the reason is in the message.
  static let together: [(String, String?)] = [
    ("visionzip:keep=0.5+fastv:layer=1+elastic-cache", nil), ("hired+fastv:layer=1", nil),
    ("divprune+dart:layer=1", nil),
    ("hired+globalcom2", "both act at"), ("visionzip+token-corr", "both act at"), ("hired+visionzip", "both act at"),
    ("hired+tome:keep=0.5", "thins them before"), ("token-corr+hired", "thins them before"),
    ("fastv:layer=1+pyramiddrop:layers=2,keep=0.5", "number positions differently"),
    ("fastv:layer=1+fastv:layer=2,mode=in-place", "number positions differently"),
    ("elastic-cache+h2o", "both manage the KV cache"), ("keyformer+elastic-cache", "both manage the KV cache"),
    ("fastv:layer=1,mode=in-place+elastic-cache", "without the cache"),
    ("downsample+downsample", "both"),
    ("tome:keep=0.5+mustdrop:layers=1/2,window=2", "weighted by token mass"),
  ]

  @Test(arguments: 0..<together.count) func methodsThatCannotBeRightTogether(_ index: Int) throws {
    let (spec, reason) = Self.together[index]
    let methods = try MethodSpec(spec).make(budget: .ratio(0.5))
    let tower = Shape.Tower(
      blocks: 4, featureBlock: 2, width: 8, heads: 2, ffn: 16, prefix: 1, hasClassifier: true, rows: 4, columns: 4,
      patch: 4)
    let names = spec.split(separator: "+").map { String($0.split(separator: ":")[0]) }
    // globalcom2 wants tiles.
    let shape = Shape(
      tower: tower, decoder: SmallShapes.decoder,
      layout: spec.contains("globalcom2") ? Shape.Layout(tiling: .cut, hasNewline: true) : Shape.Layout(tiling: .one))
    for methods in [methods, methods.reversed()] {
      do {
        _ = try Composition(methods, for: shape)
        #expect(reason == nil, "\(spec)")
      } catch {
        let text = "\(error)"
        #expect(reason.map { text.contains($0) } == true, "\(spec): \(text)")
        for name in names { #expect(text.contains(name)) }
      }
    }
  }

  static let misfits: [(String, Shape)] = [
    ("h2o+elastic-cache", SmallShapes.language()), ("fastv+transprune:layers=2,keep=0.5", SmallShapes.language()),
    ("fastv:mode=in-place+h2o", SmallShapes.language()), ("tome+mustdrop:layers=2/4", SmallShapes.window),
    ("mustdrop:layers=2/4+elastic-cache", SmallShapes.window), ("keyformer+h2o", SmallShapes.language()),
    ("fastv:mode=in-place+keyformer", SmallShapes.language()), ("hired+cls-attention", SmallShapes.tiles()),
    ("visionzip+globalcom2", SmallShapes.tiles()), ("tome+hired", SmallShapes.tiles()),
  ]

  @Test(arguments: 0..<misfits.count) func misfitsAreRefusedBeforeWeightsLoad(_ index: Int) throws {
    let (spec, shape) = Self.misfits[index]
    try expectRefusal(spec, for: shape)
  }

  @Test func aFusingConnectorNeedsWholeGroups() {
    let fused = Shape.Tower(
      blocks: 4, width: 8, heads: 2, ffn: 16, prefix: 0, hasClassifier: false, rows: 4, columns: 4, patch: 4, fuse: 2)
    let shape = Shape(tower: fused, decoder: SmallShapes.decoder, layout: Shape.Layout(tiling: .native))
    #expect(throws: CompressionError.self) { try Composition([ToMe(r: 2)], for: shape) }
    #expect(throws: Never.self) { try Composition([DivPrune(keep: .ratio(0.5))], for: shape) }
  }

  @Test func stateBelongsToOneRequest() throws {
    // ToMe solves its schedule at the first block it sees; a second run must solve its own.
    let composition = try Composition([ToMe(r: 1)], for: SmallShapes.vit)
    for _ in 0..<2 {
      let run = Run(composition)
      #expect(run.trace.acts.isEmpty && run.acts(at: .block(0, .middle)) && run.massBias)
    }
  }
}
