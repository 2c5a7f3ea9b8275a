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
  /// The coder saw the picture with so many times shorter sides.
  public let scale: Int
  /// Per picture: information of the tokens, and mean bytes.
  public let bits: Double, bytes: Double
  /// In dB: of the mean squared error over all pictures, and the mean over pictures.
  public let psnr: Double, meanPSNR: Double
  public let ssim: Double
  /// Against what the judging model says of the originals; nil without a classifier.
  public let agreement: Double?
  /// Of its embeddings of reconstruction and original.
  public let cosine: Double
  /// Median milliseconds per picture.
  public let encode: Double, decode: Double
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
      (coder, tokens, setting, scale) = (bench.tokenizers[number].name, count, nil, 1)
      bits = Double(count) * bench.tokenizers[number].tokenizer.bitsPerToken
    case .jpeg(let quality, let scale):
      (coder, tokens, setting, self.scale, bits) = ("jpeg", nil, "q\(quality)", scale, 8 * bytes)
    case .other(let number):
      let other = bench.others[number]
      (coder, tokens, setting, scale, bits) = (other.name, nil, other.setting, other.scale, 8 * bytes)
    }
    psnr = PictureQuality.psnr(mean(\.meanSquaredError))
    meanPSNR = mean { PictureQuality.psnr($0.meanSquaredError) }
    ssim = mean(\.ssim)
    agreement = outcomes[0].agrees == nil ? nil : mean { $0.agrees == true ? 1 : 0 }
    cosine = mean(\.cosine)
    (encode, decode) = (median(outcomes.map(\.encode)), median(outcomes.map(\.decode)))
    images = outcomes.count
  }

  /// What one line of a plot shows.
  private var line: String { scale == 1 ? coder : "\(coder) at 1/\(scale) size" }

  /// Coders without tokens, which tokenizers are compared with.
  private static func rivals(_ rows: [TokenizerRow]) -> [String] {
    rows.reduce(into: []) { if $1.tokens == nil, !$0.contains($1.coder) { $0.append($1.coder) } }
  }

  public static func table(_ rows: [TokenizerRow], run: JSON) -> Table {
    let rivals = rivals(rows)
    var table = Table(
      [
        "coder", "tokens", "bits", "bytes", "PSNR", "mean PSNR", "SSIM", "agree", "cosine", "encode ms", "decode ms",
      ] + rivals.map { "PSNR of \($0)" })
    for row in rows {
      let equal = rivals.map { rival in row.tokens == nil ? nil : Self.psnr(of: rival, at: row.bytes, rows) }
      table.add(row.cells(equal), row.json(Array(zip(rivals, equal)), run: run))
    }
    return table
  }

  private func cells(_ rivals: [Double?]) -> [String] {
    [
      line, tokens.map { "\($0)" } ?? setting ?? "-", fixed(bits, 0), fixed(bytes, 0), fixed(psnr, 2),
      fixed(meanPSNR, 2), fixed(ssim, 3), agreement.map { fixed(100 * $0, 1) + "%" } ?? "-", fixed(cosine, 3),
      fixed(encode, 2), fixed(decode, 2),
    ] + rivals.map { $0.map { fixed($0, 2) } ?? "-" }
  }

  private func json(_ rivals: [(String, Double?)], run: JSON) -> JSON {
    func number(_ value: Double?) -> JSON { value.flatMap { $0.isFinite ? rounded($0, 6) : nil } ?? .null }
    return [
      "schema": "vtok-bench-tokenizers/1", "coder": JSON(coder), "tokens": tokens.map { JSON($0) } ?? .null,
      "setting": setting.map { JSON($0) } ?? .null, "scale": JSON(scale), "bits": number(bits), "bytes": number(bytes),
      "images": JSON(images), "psnr": ["of_mean_mse": number(psnr), "mean": number(meanPSNR)],
      "psnr_at_equal_bytes": .object(JSONObject(rivals.map { ($0, number($1)) })), "ssim": number(ssim),
      "top1_agreement": number(agreement), "pooled_cosine": number(cosine),
      "ms": ["encode": number(encode), "decode": number(decode)], "run": run,
    ]
  }

  /// The best PSNR of a coder at so many bytes, at any scale: between two settings of one scale linear in the logarithm
  /// of bytes; nil outside of those tried.
  static func psnr(of coder: String, at bytes: Double, _ rows: [TokenizerRow]) -> Double? {
    let scales = Dictionary(grouping: rows.filter { $0.coder == coder }, by: \.scale)
    return scales.values.compactMap { rows -> Double? in
      let known = rows.sorted { $0.bytes < $1.bytes }
      guard let above = known.firstIndex(where: { $0.bytes >= bytes }) else { return nil }
      if known[above].bytes == bytes { return known[above].psnr }
      guard above > 0 else { return nil }
      let (low, high) = (known[above - 1], known[above])
      let share = log(bytes / low.bytes) / log(high.bytes / low.bytes)
      return low.psnr + share * (high.psnr - low.psnr)
    }.max()
  }

  /// Plots of all rows against bytes as files, by name.
  public static func plots(_ rows: [TokenizerRow]) -> [(name: String, svg: String)] {
    func plot(_ title: String, _ label: String, isShare: Bool, _ value: (TokenizerRow) -> Double?) -> String {
      var names: [String] = []
      for row in rows where !names.contains(row.line) { names.append(row.line) }
      let lines = names.map { name in
        (
          name,
          rows.filter { $0.line == name }.compactMap { row in
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
