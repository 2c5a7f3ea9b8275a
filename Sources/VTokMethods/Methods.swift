import VTokCore
import VTokFiles

/// Every method, by name. Adding one adds its line here.
public enum Methods {
  public static let all: [any Compressor.Type] = [
    ToMe.self,
    ZeroTPrune.self,
    DiffRate.self,
    PiToMe.self,
    MCTF.self,
    PixelPrune.self,
    DivPrune.self,
    HiRED.self,
    GlobalCom2.self,
    VisionZip.self,
    CDPruner.self,
    VisPruner.self,
    PruMerge.self,
    HiPrune.self,
    HoloV.self,
    SCOPE.self,
    GPrune.self,
    PruneSID.self,
    MMTok.self,
    DART.self,
    GenericExplain.self,
    FastV.self,
    PyramidDrop.self,
    TransPrune.self,
    MustDrop.self,
    SparseVLM.self,
    V2Drop.self,
    PriorTR.self,
    DeepRandom.self,
    PACT.self,
    ElasticCache.self,
    H2O.self,
    Keyformer.self,
    SnapKV.self,
    PyramidKV.self,
    StreamingLLM.self,
    LookM.self,
    EMS.self,
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

  /// The methods that choose by a score and can cut a single layer of the language model to a budget.
  public static var cuttingOneLayer: [MethodSpec] {
    all.filter { !listed($0).method.isStochastic }.map { MethodSpec(named: $0.name) }.filter { spec in
      guard spec.usesJobBudget, let cut = spec.cutting(atLayer: 1) else { return false }
      return (try? cut.make(budget: .ratio(0.5))) != nil
    }
  }

  /// The options of a method with their defaults, in the order its initialiser takes them.
  /// - Precondition: the initialiser does not throw when no option is given.
  public static func options(of method: any Compressor.Type) -> Options { listed(method).options }

  /// A method as it is when no option is given, and its options.
  /// - Precondition: the initialiser does not throw then.
  public static func listed(_ method: any Compressor.Type) -> (method: any Compressor, options: Options) {
    var options = Options(method: method.name)
    do { return (try method.init(&options), options) } catch {
      preconditionFailure("\(method.name) must list its options when none is given, and throws: \(error)")
    }
  }
}
