import VTokCore
import VTokFiles

/// Every method, by name. Adding one adds its line here.
public enum Methods {
  public static let all: [any Compressor.Type] = [
    ToMe.self,
    ZeroTPrune.self,
    DiffRate.self,
    DivPrune.self,
    HiRED.self,
    GlobalCom2.self,
    VisionZip.self,
    CDPruner.self,
    DART.self,
    GenericExplain.self,
    FastV.self,
    PyramidDrop.self,
    TransPrune.self,
    MustDrop.self,
    SparseVLM.self,
    ElasticCache.self,
    H2O.self,
    Keyformer.self,
    TokenCorr.self,
    EViT.self,
    ClsAttention.self,
    RandomPatches.self,
    Downsample.self,
  ]

  public static var names: [String] { all.map { $0.name } }

  /// The method of that name.
  public static func named(_ name: String) throws(MethodError) -> any Compressor.Type {
    guard let found = all.first(where: { $0.name == name }) else { throw .unknown(name, known: names) }
    return found
  }

  /// The options of a method with their defaults, in the order its initialiser takes them.
  public static func options(of method: any Compressor.Type) -> (entries: [Options.Entry], takesBudget: Bool) {
    var options = Options(method: method.name)
    _ = try? method.init(&options)
    return (options.entries, options.takesBudget)
  }
}
