import Foundation
import VTokEval
import VTokPipeline
import VTokTensor
import VTokWeights

/// What a coder made of an image.
extension Figure where Run == TokenizerTask.Run {
  public static var bytes: Figure { Figure("bytes") { Double($0.bytes) } }
  public static var meanSquaredError: Figure { Figure("squared error") { $0.meanSquaredError } }
  public static var psnr: Figure { Figure("PSNR") { PictureQuality.psnr($0.meanSquaredError) } }
  public static var ssim: Figure { Figure("SSIM") { $0.ssim } }
  public static var agrees: Figure { Figure("agrees") { $0.agrees.map { $0 ? 1 : 0 } } }
  public static var cosine: Figure { Figure("cosine") { $0.cosine } }
  public static var encode: Figure { Figure("ms to encode", isKept: true) { $0.encode } }
  public static var decode: Figure { Figure("ms to decode", isKept: true) { $0.decode } }
}

extension TokenizerTask {
  public var columns: [Column<TokenizerTask>] { Self.coder + Self.rate + Self.quality + Self.times + rivalColumns }

  private static var coder: [Column<TokenizerTask>] {
    [
      Column("coder", "coder", text: { $0.line }, json: { JSON($0.coder) }),
      Column(
        "tokens", "tokens", note: "or what was asked of a coder without tokens",
        text: { row in row.tokens.map { "\($0)" } ?? row.setting ?? "-" },
        json: { row in row.tokens.map { JSON($0) } ?? .null }),
      Column(nil, "setting", json: { row in row.setting.map { JSON($0) } ?? .null }),
      Column(nil, "scale", json: { JSON($0.scale) }),
    ]
  }

  private static var rate: [Column<TokenizerTask>] {
    [
      .number(
        "bits", "bits", [.bytes], note: "information of the tokens, per image", text: { fixed($0, 0) },
        value: { $0.bits }),
      .mean(.bytes, "bytes", "bytes", note: "per image", text: { fixed($0, 0) }),
      Column(nil, "images", json: { JSON($0.results.items.count) }),
    ]
  }

  private static var quality: [Column<TokenizerTask>] {
    [
      .number(
        "PSNR", "psnr.of_mean_mse", [.meanSquaredError], note: "in dB, of the mean squared error over all images",
        text: { fixed($0, 2) }, value: { $0.psnr }),
      .mean(.psnr, "mean PSNR", "psnr.mean", note: "mean over images", text: { fixed($0, 2) }),
      .mean(.ssim, "SSIM", "ssim", note: "structural similarity"),
      .mean(
        .agrees, "agree", "top1_agreement", note: "top-1 agreement of the judging model on reconstruction and original",
        text: { percent($0) }),
      .mean(.cosine, "cosine", "pooled_cosine", note: "of its embeddings of the two"),
    ]
  }

  private static var times: [Column<TokenizerTask>] {
    [(Figure<Run>.encode, "encode"), (Figure<Run>.decode, "decode")].map { figure, name in
      .number(
        "\(name) ms", ColumnKey("ms", name), [figure], note: "median per image", text: { fixed($0, 2) },
        value: { median($0.items(figure)) })
    }
  }

  /// Coders without tokens, which tokenizers are compared with.
  private var rivals: [String] {
    entries.reduce(into: []) { names, coder in
      if tokens(of: coder) == nil, !names.contains(name(of: coder)) { names.append(name(of: coder)) }
    }
  }

  private var rivalColumns: [Column<TokenizerTask>] {
    rivals.map { rival in
      .number(
        "PSNR of \(rival)", ColumnKey("psnr_at_equal_bytes", rival), [.bytes, .meanSquaredError],
        note: "at as many bytes", text: { fixed($0, 2) },
        value: { row in
          row.tokens == nil ? .nan : Self.psnr(of: rival, at: row.mean(.bytes), row.results.rows) ?? .nan
        })
    }
  }

  func name(of coder: Coder) -> String {
    switch coder {
    case .tokenizer(let number, _): tokenizers[number].name
    case .jpeg: "jpeg"
    case .other(let number): others[number].name
    }
  }

  func tokens(of coder: Coder) -> Int? {
    if case .tokenizer(_, let count) = coder { count } else { nil }
  }

  /// The best PSNR of a coder at so many bytes, at any scale: between two settings of one scale linear in the logarithm
  /// of bytes; nil outside of those tried.
  static func psnr(of coder: String, at bytes: Double, _ rows: [BenchRow<TokenizerTask>]) -> Double? {
    let scales = Dictionary(grouping: rows.filter { $0.coder == coder }, by: \.scale)
    return scales.values.compactMap { rows -> Double? in
      let known = rows.map { (bytes: $0.mean(.bytes), psnr: $0.psnr) }.sorted { $0.bytes < $1.bytes }
      guard let above = known.firstIndex(where: { $0.bytes >= bytes }) else { return nil }
      if known[above].bytes == bytes { return known[above].psnr }
      guard above > 0 else { return nil }
      let (low, high) = (known[above - 1], known[above])
      let share = log(bytes / low.bytes) / log(high.bytes / low.bytes)
      return low.psnr + share * (high.psnr - low.psnr)
    }.max()
  }
}

extension BenchRow where Task == TokenizerTask {
  /// The tokenizer, or `jpeg`, or what another program measured.
  public var coder: String { task.name(of: entry) }
  /// nil for coders without tokens; then `setting` says what was asked of it.
  public var tokens: Int? { task.tokens(of: entry) }
  public var setting: String? {
    switch entry {
    case .tokenizer: nil
    case .jpeg(let quality, _): "q\(quality)"
    case .other(let number): task.others[number].setting
    }
  }
  /// The coder saw the image with so many times shorter sides.
  public var scale: Int {
    switch entry {
    case .tokenizer: 1
    case .jpeg(_, let scale): scale
    case .other(let number): task.others[number].scale
    }
  }
  /// Information of the tokens of an image, or of its file.
  public var bits: Double {
    guard case .tokenizer(let number, let count) = entry else { return 8 * mean(.bytes) }
    return Double(count) * task.tokenizers[number].tokenizer.bitsPerToken
  }
  /// In dB, of the mean squared error over all images.
  public var psnr: Double { PictureQuality.psnr(mean(.meanSquaredError)) }
  /// What one line of a plot shows.
  var line: String { scale == 1 ? coder : "\(coder) at 1/\(scale) size" }
}
