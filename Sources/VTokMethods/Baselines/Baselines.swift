import VTokCore

extension Methods {
  /// What methods have to beat: chance, cut in the places where they cut so that equal tokens cost the same, and a smaller
  /// image.
  public static func baselines(beside methods: [Composition]) -> [MethodSpec] {
    let inTower = methods.filter { $0.shape.decoder == nil }
    let isBehind = inTower.contains { !$0.actsInTower && $0.shrink == nil }
    let isInside = !isBehind || inTower.contains(where: \.actsInTower)
    return (isInside ? [MethodSpec(RandomPatches.self)] : [])
      + (isBehind ? [MethodSpec(RandomPatches.self, ["at": RandomPatches.Place.features.rawValue])] : [])
      + [MethodSpec(Downsample.self)]
  }
}
