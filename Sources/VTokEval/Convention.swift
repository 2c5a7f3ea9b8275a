import VTokCore

/// A published way of counting the prefill of a language model. Papers print all of these as "FLOPs", so a figure is
/// worth nothing without its label.
///
/// n tokens, d width, m MLP width, one multiply-add counted as one unless the label says otherwise. Grouped-query
/// attention is ignored (4nd²), as the papers do; `Cost` does not ignore it.
public enum Convention: String, Sendable, CaseIterable {
  /// 4nd² + 2n²d + 3ndm summed over layers, image tokens only: PyramidDrop, TransPrune, VisionZip and CDPruner rows.
  case mac3Image = "mac3-img"
  /// The same over all tokens of the prompt: SparseVLM's code.
  case mac3All = "mac3-all"
  /// 4nd² + 2n²d + 2ndm, mean over layers, n = image tokens + 36: FastV, Table 1.
  case mac2Fixed = "mac2-612"
  /// 4nd² + 2n²d + 2ndm summed over layers, all tokens of the prompt: DivPrune's code.
  case mac2All = "mac2-all"
  /// Image tokens entering a layer, mean over layers: TransPrune's Qwen2.5-VL rows, "average tokens".
  case linear
  /// Twice `mac3Image`: LLM-Viewer, GlobalCom2.
  case viewer = "llm-viewer"
  /// 2 x parameters of the language model x tokens of the prompt entering it: QueCC's scaling law.
  case scaling

  /// What the figure is, with its unit.
  public var label: String {
    switch self {
    case .mac3Image: "TFLOPs (paper convention: MAC, SwiGLU, image tokens)"
    case .mac3All: "TFLOPs (paper convention: MAC, SwiGLU, all tokens)"
    case .mac2Fixed: "GFLOPs per layer (paper convention: MAC, two-matrix FFN, image + 36 tokens)"
    case .mac2All: "TFLOPs (paper convention: MAC, two-matrix FFN, all tokens)"
    case .linear: "image tokens per layer (mean)"
    case .viewer: "TFLOPs (paper convention: 2 x MAC, SwiGLU, image tokens)"
    case .scaling: "TFLOPs (paper convention: 2 x parameters x all tokens)"
    }
  }

  /// Tokens entering one layer of the prefill; papers count fractions too (a tenth of 576 is 57.6).
  public struct Tokens: Sendable {
    public let visual: Double, all: Double
    public init(visual: Double, text: Double = 0) {
      self.visual = visual
      all = visual + text
    }
    public init(visual: Int, text: Int = 0) { self.init(visual: Double(visual), text: Double(text)) }
  }

  /// The figure of a run's prefill, in the label's unit. Shares are quotients of two such figures.
  /// - Precondition: the run passed the language model of `shape`.
  public func value(of trace: Trace, shape: Shape) -> Double {
    guard let decoder = shape.decoder else { preconditionFailure("a convention of language models needs one") }
    let prefill = trace.steps(of: decoder.layers)[0].map { layer in
      Tokens(visual: layer.visual, text: layer.rows.reduce(0, +) - layer.visual)
    }
    return value(of: prefill, decoder: decoder)
  }

  /// The figure of a schedule, one entry per layer.
  public func value(of prefill: [Tokens], decoder: Shape.Decoder) -> Double {
    let (width, ffn) = (Double(decoder.width), Double(decoder.ffn))
    func macs(_ tokens: Double, matrices: Double) -> Double {
      tokens * (4 * width * width + 2 * tokens * width + matrices * width * ffn)
    }
    func total(_ cost: (Tokens) -> Double) -> Double { prefill.reduce(0) { $0 + cost($1) } }
    switch self {
    case .mac3Image: return total { macs($0.visual, matrices: 3) } * 1e-12
    case .mac3All: return total { macs($0.all, matrices: 3) } * 1e-12
    case .mac2Fixed: return total { macs($0.visual + 36, matrices: 2) } * 1e-9 / Double(prefill.count)
    case .mac2All: return total { macs($0.all, matrices: 2) } * 1e-12
    case .linear: return total(\.visual) / Double(prefill.count)
    case .viewer: return 2 * total { macs($0.visual, matrices: 3) } * 1e-12
    case .scaling: return 2 * Double(decoder.parameters) * prefill[0].all * 1e-12
    }
  }
}

extension Shape.Decoder {
  /// Weights of the layers, the embedding and the head; norms and biases are too small to count.
  var parameters: Int {
    let attention = 2 * width * (heads + kvHeads) * headDim
    return layers * (attention + 3 * width * ffn) + 2 * vocabulary * width
  }
}
