import Foundation
import VTokEval
import VTokTensor
import VTokWeights

/// A row of `vtok bench --tokenizers` (schema `vtok-bench-tokenizers/1`): one coder over all pictures.
public struct TokenizerRow: Sendable {
  /// The tokenizer, or `jpeg`, or what another program measured.
  public let coder: String
  /// nil for coders without tokens; then `setting` says what was asked of it.
  public let tokens: Int?
  public let setting: String?
  /// Per picture: information of the tokens, and mean bytes.
  public let bits: Double, bytes: Double
  /// In dB: of the mean squared error over all pictures, and the mean over pictures.
  public let psnr: Double, meanPSNR: Double
  public let ssim: Double
  /// Against what the judging model says of the originals; nil where it was not asked.
  public let agreement: Double?, cosine: Double?
  /// Median milliseconds per picture.
  public let encode: Double?, decode: Double?
  public let images: Int

  /// - Parameter results: pictures that did not fail, at least one.
  public init(_ results: [TokenizerBench.ImageResult], coder index: Int, of bench: TokenizerBench) {
    let outcomes = results.map { $0.outcomes[index] }
    func mean(_ path: (TokenizerBench.Outcome) -> Double) -> Double {
      outcomes.reduce(0) { $0 + path($1) } / Double(outcomes.count)
    }
    bytes = mean { Double($0.bytes) }
    switch bench.coders[index] {
    case .tokenizer(let number, let count):
      (coder, tokens, setting) = (bench.tokenizers[number].name, count, nil)
      bits = Double(count) * bench.tokenizers[number].tokenizer.bitsPerToken
    case .jpeg(let quality): (coder, tokens, setting, bits) = ("jpeg", nil, "q\(quality)", 8 * bytes)
    }
    psnr = PictureQuality.psnr(mean(\.meanSquaredError))
    meanPSNR = mean { PictureQuality.psnr($0.meanSquaredError) }
    ssim = mean(\.ssim)
    agreement = outcomes[0].agrees == nil ? nil : mean { $0.agrees == true ? 1 : 0 }
    cosine = mean(\.cosine)
    (encode, decode) = (median(outcomes.map(\.encode)), median(outcomes.map(\.decode)))
    images = outcomes.count
  }

  /// A row that another program wrote in the same schema; nil for anything else.
  public init?(_ json: JSON) {
    guard json["schema"]?.string == "vtok-bench-tokenizers/1", let coder = json["coder"]?.string,
      let bytes = json["bytes"]?.double, let psnr = json["psnr"]?["of_mean_mse"]?.double,
      let meanPSNR = json["psnr"]?["mean"]?.double, let ssim = json["ssim"]?.double, let images = json["images"]?.int,
      bytes > 0
    else { return nil }
    (self.coder, self.bytes, self.psnr, self.meanPSNR) = (coder, bytes, psnr, meanPSNR)
    (self.ssim, self.images) = (ssim, images)
    (tokens, setting) = (json["tokens"]?.int, json["setting"]?.string)
    bits = json["bits"]?.double ?? 8 * bytes
    (agreement, cosine) = (json["top1_agreement"]?.double, json["pooled_cosine"]?.double)
    (encode, decode) = (json["ms"]?["encode"]?.double, json["ms"]?["decode"]?.double)
  }

  public static let columns = [
    "coder", "tokens", "bits", "bytes", "PSNR", "mean PSNR", "SSIM", "agree", "cosine", "encode ms", "decode ms",
    "JPEG PSNR at these bytes",
  ]

  /// - Parameter rows: all rows, for what JPEG makes of the same number of bytes.
  public func cells(among rows: [TokenizerRow]) -> [String] {
    func text(_ value: Double?, _ digits: Int) -> String { value.map { fixed($0, digits) } ?? "-" }
    return [
      coder, tokens.map { "\($0)" } ?? setting ?? "-", fixed(bits, 0), fixed(bytes, 0), fixed(psnr, 2),
      fixed(meanPSNR, 2), fixed(ssim, 3), agreement.map { fixed(100 * $0, 1) + "%" } ?? "-", text(cosine, 3),
      text(encode, 2), text(decode, 2), coder == "jpeg" ? "-" : text(Self.jpeg(at: bytes, rows), 2),
    ]
  }

  public func json(among rows: [TokenizerRow], run: JSON) -> JSON {
    func number(_ value: Double?) -> JSON { value.flatMap { $0.isFinite ? rounded($0, 6) : nil } ?? .null }
    return [
      "schema": "vtok-bench-tokenizers/1", "coder": JSON(coder), "tokens": tokens.map { JSON($0) } ?? .null,
      "setting": setting.map { JSON($0) } ?? .null, "bits": number(bits), "bytes": number(bytes),
      "images": JSON(images),
      "psnr": [
        "of_mean_mse": number(psnr), "mean": number(meanPSNR),
        "jpeg_at_equal_bytes": number(Self.jpeg(at: bytes, rows)),
      ], "ssim": number(ssim), "top1_agreement": number(agreement), "pooled_cosine": number(cosine),
      "ms": ["encode": number(encode), "decode": number(decode)], "run": run,
    ]
  }

  /// PSNR of JPEG at so many bytes, between two qualities linear in the logarithm of bytes; nil outside of those tried.
  static func jpeg(at bytes: Double, _ rows: [TokenizerRow]) -> Double? {
    let known = rows.filter { $0.coder == "jpeg" }.sorted { $0.bytes < $1.bytes }
    guard let above = known.firstIndex(where: { $0.bytes >= bytes }) else { return nil }
    if known[above].bytes == bytes { return known[above].psnr }
    guard above > 0 else { return nil }
    let (low, high) = (known[above - 1], known[above])
    let share = log(bytes / low.bytes) / log(high.bytes / low.bytes)
    return low.psnr + share * (high.psnr - low.psnr)
  }

  /// Plots of all rows against bytes as files, by name.
  public static func plots(_ rows: [TokenizerRow]) -> [(name: String, svg: String)] {
    func plot(_ title: String, _ label: String, isShare: Bool, _ value: (TokenizerRow) -> Double?) -> String {
      var names: [String] = []
      for row in rows where !names.contains(row.coder) { names.append(row.coder) }
      let lines = names.map { name in
        (
          name,
          rows.filter { $0.coder == name }.compactMap { row in
            value(row).map { value in
              ParetoPlot.Point(
                x: row.bytes, y: value,
                about: "\(name), \(row.tokens.map { "\($0) tokens" } ?? row.setting ?? ""): \(fixed(value, 3))")
            }
          }
        )
      }.filter { !$0.1.isEmpty }
      return ParetoPlot(
        title: title, xLabel: "bytes per picture", yLabel: label, lines: lines, isLogarithmic: true, isShare: isShare
      ).file()
    }
    return [
      ("psnr.svg", plot("Distortion against rate", "PSNR of the mean squared error, dB", isShare: false) { $0.psnr }),
      ("ssim.svg", plot("Structural similarity against rate", "SSIM", isShare: true) { $0.ssim }),
      (
        "agreement.svg",
        plot("Classifier on reconstructions against rate", "top-1 agreement with the original", isShare: true) {
          $0.agreement
        }
      ),
    ].filter { $0.1.contains("<circle") }
  }
}
