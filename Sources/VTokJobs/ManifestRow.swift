import VTokCore
import VTokEval
import VTokImage
import VTokPipeline
import VTokWeights

/// One input of a job, as a line of `manifest.jsonl` (schema `vtok-manifest/1`).
public struct ManifestRow: Sendable {
  public struct Failure: Sendable, Equatable {
    public let kind: String, message: String
    public init(kind: String, message: String) {
      self.kind = kind
      self.message = message
    }
  }
  /// Milliseconds per stage.
  public struct Times: Sendable {
    public var decode = 0.0, preprocess = 0.0, tower = 0.0, selection = 0.0, write = 0.0
  }

  /// Line number, from 0.
  public var index: Int
  public var shard: Int
  public let file: String
  public let failure: Failure?
  /// The fields after `error`, as they are written; empty for a failed input.
  package let fields: [(String, JSON)]

  static func failed(_ file: String, index: Int, shard: Int, kind: String, message: String) -> ManifestRow {
    ManifestRow(index: index, shard: shard, file: file, failure: Failure(kind: kind, message: message), fields: [])
  }

  /// - Parameters:
  ///   - size: of the picture or the frames.
  ///   - format: of the file; nil for pixels that came without one.
  package init(
    _ file: String, index: Int = 0, shard: Int = 0, size: Size, format: ImageFormat?, video: Video? = nil,
    result: PrunedImage, reducer: any ImageReducer, asked: Asked, times: Times? = nil
  ) {
    self.index = index
    self.shard = shard
    self.file = file
    failure = nil
    let dense = result.tokensIn
    var fields: [(String, JSON)] = [
      (
        "image",
        [
          "width": JSON(size.width), "height": JSON(size.height),
          "format": format.map { JSON($0.rawValue) } ?? .null,
        ]
      ), ("grid", ["tiles": JSON(result.tiles), "rows": JSON(result.rows), "columns": JSON(result.columns)]),
      ("model", JSON(reducer.name)), ("method", JSON(reducer.method)),
      ("budget", asked.json(result.outcome)),
      (
        "tokens",
        [
          "in": JSON(dense), "out": JSON(result.keep.count), "mean_per_layer": rounded(result.cost.meanTokens, 3),
        ]
      ),
      (
        "gmacs",
        [
          "dense": rounded(result.dense.gmacs, 6), "reduced": rounded(result.cost.gmacs, 6),
          "selection": rounded(Double(result.cost.selection) * 1e-9, 6),
        ]
      ),
    ]
    if let video {
      fields.insert(("video", ["frames": JSON(video.frames.count), "fps": JSON(video.rate)]), at: 1)
    }
    let margin = Double(result.trace.margin)
    fields.append(("margin", margin.isFinite ? rounded(margin, 9) : .null))
    if let times {
      fields.append(
        (
          "ms",
          [
            "decode": rounded(times.decode, 3), "preprocess": rounded(times.preprocess, 3),
            "tower": rounded(times.tower, 3), "selection": rounded(times.selection, 3),
            "write": rounded(times.write, 3),
          ]
        ))
    }
    if result.logits != nil {
      let top = result.classes(5, labels: reducer.labels).map { found -> JSON in
        ["label": JSON(found.name), "probability": JSON(found.probability)]
      }
      fields.append(("top", .array(top)))
    }
    self.fields = fields
  }

  private init(index: Int, shard: Int, file: String, failure: Failure?, fields: [(String, JSON)]) {
    self.index = index
    self.shard = shard
    self.file = file
    self.failure = failure
    self.fields = fields
  }

  public var json: JSON {
    var members: [(String, JSON)] = [
      ("schema", "vtok-manifest/1"), ("index", JSON(index)), ("file", JSON(file)),
      ("status", failure == nil ? "ok" : "failed"),
      ("error", failure.map { ["kind": JSON($0.kind), "message": JSON($0.message)] } ?? .null),
    ]
    members += fields
    members.append(("shard", JSON(shard)))
    return .object(JSONObject(members))
  }

  /// A value of the line, by path.
  public subscript(_ path: String) -> JSON? { json.value(at: path) }
}
