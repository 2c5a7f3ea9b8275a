// Functions have the names of vtok.h, which the compiler holds them against.
// swift-format-ignore-file: AlwaysUseLowerCamelCase

public import CVTokAPI
import Synchronization
import VTok
import VTokTensor

final class OpenPipeline: Sendable {
  let reducer: any ImageReducer
  let budget: Budget?
  let decode: DecodeOptions
  /// A checksum of weights takes a while: made when somebody asks.
  private let description = Mutex<CText?>(nil)

  init(_ opening: Opening) throws {
    reducer = try opening.reducer()
    budget = opening.budget
    decode = opening.decode
  }

  func about() -> UnsafePointer<CChar> {
    description.withLock { text in
      if text == nil { text = CText(JSON.object(JSONObject(reducer.about)).text()) }
      return UnsafePointer(text!.pointer)
    }
  }
}

extension ImageReducer {
  fileprivate var about: [(String, JSON)] {
    var kind = "visual"
    var members: [(String, JSON)] = []
    if let tower = self as? Pipeline {
      kind = "tower"
      members = [
        ("model_sha256", JSON(tower.model.sha256)), ("precision", JSON(tower.precision.rawValue)),
        ("width", JSON(tower.model.vision.tower.shape.width)),
      ]
    } else if let visual = self as? VisualReducer {
      members = visual.generator.about + [("width", JSON(visual.generator.model.shape.decoder!.width))]
    }
    return [("model", JSON(name)), ("kind", JSON(kind)), ("method", JSON(method))] + members
      + [("labels", labels.map { JSON($0) } ?? .null)]
  }
}

/// What one image became, where C can read it.
final class OpenResult: @unchecked Sendable {
  private struct Values {
    let name: CText
    let type: vtok_dtype
    let shape: UnsafeMutableBufferPointer<Int64>
    let bytes: UnsafeMutableRawBufferPointer
  }
  private let values: [Values]
  private let places: [String: Int]
  let row: CText

  init(_ tensors: [(String, Safetensors.Value)], row: JSON) {
    values = tensors.map { name, value in
      let shape = UnsafeMutableBufferPointer<Int64>.allocate(capacity: value.shape.count)
      _ = shape.initialize(from: value.shape.map(Int64.init))
      let bytes = UnsafeMutableRawBufferPointer.allocate(
        byteCount: value.shape.reduce(1, *) * value.type.size, alignment: 64)
      var end = 0
      value.emit { piece in
        UnsafeMutableRawBufferPointer(rebasing: bytes[end...]).copyMemory(from: piece)
        end += piece.count
      }
      return Values(name: CText(name), type: value.type == .i64 ? VTOK_I64 : VTOK_F32, shape: shape, bytes: bytes)
    }
    places = Dictionary(uniqueKeysWithValues: tensors.enumerated().map { ($1.0, $0) })
    self.row = CText(row.text())
  }

  deinit {
    for value in values {
      value.shape.deallocate()
      value.bytes.deallocate()
    }
  }

  var count: Int { values.count }

  func tensor(_ name: String) throws(ArgumentError) -> vtok_tensor {
    guard let place = places[name] else {
      throw ArgumentError(
        "tensor", found: "'\(name)'", expected: "one of " + places.keys.sorted().joined(separator: ", "),
        fix: "Not every model has all of them.")
    }
    return tensor(at: place)
  }

  func tensor(at place: Int) -> vtok_tensor {
    let value = values[place]
    return vtok_tensor(
      name: value.name.pointer, dtype: value.type, rank: Int32(value.shape.count), shape: value.shape.baseAddress,
      data: UnsafeRawPointer(value.bytes.baseAddress), length: value.bytes.count)
  }
}

@c @implementation
public func vtok_pipeline_open(_ options: UnsafePointer<vtok_options>?) -> OpaquePointer? {
  attempt { handed(try OpenPipeline(Opening(options))) }
}

@c @implementation
public func vtok_pipeline_free(_ pipeline: OpaquePointer?) { free(pipeline, OpenPipeline.self) }

@c @implementation
public func vtok_pipeline_about(_ pipeline: OpaquePointer?) -> UnsafePointer<CChar>? {
  attempt { (try borrowed(pipeline, "pipeline") as OpenPipeline).about() }
}

@c @implementation
public func vtok_pipeline_run(_ pipeline: OpaquePointer?, _ image: UnsafePointer<vtok_image>?, _ seed: UInt64)
  -> OpaquePointer?
{
  attempt {
    let pipeline: OpenPipeline = try borrowed(pipeline, "pipeline")
    let picture = try Picture(image, pipeline.decode)
    let result: PrunedImage
    do {
      result = try pipeline.reducer.reduce(
        picture.image, seed: picture.name.map { mixedSeed(seed, $0) } ?? seed
      ).result
    } catch let error as ImageError { throw picture.name.map { error.named($0) } ?? error }
    let row = ManifestRow(
      picture.name ?? "", size: picture.image.size, format: picture.format, result: result, reducer: pipeline.reducer,
      asked: pipeline.budget.map { .budget($0) } ?? .own)
    var tensors = result.tensors(halfPrecision: false)
    if let logits = result.logits { tensors.append(("logits", .f32(Tensor(logits, shape: [logits.count])))) }
    return handed(OpenResult(tensors, row: .object(JSONObject(row.fields))))
  }
}

@c @implementation
public func vtok_result_free(_ result: OpaquePointer?) { free(result, OpenResult.self) }

@c @implementation
public func vtok_result_count(_ result: OpaquePointer?) -> Int {
  attempt { (try borrowed(result, "result") as OpenResult).count } ?? 0
}

@c @implementation
public func vtok_result_at(_ result: OpaquePointer?, _ place: Int, _ tensor: UnsafeMutablePointer<vtok_tensor>?)
  -> vtok_error
{
  filled(tensor) {
    let result: OpenResult = try borrowed(result, "result")
    guard (0..<result.count).contains(place) else {
      throw ArgumentError("place", found: "\(place)", expected: "less than \(result.count)", fix: "Correct it.")
    }
    return result.tensor(at: place)
  }
}

@c @implementation
public func vtok_result_find(
  _ result: OpaquePointer?, _ name: UnsafePointer<CChar>?, _ tensor: UnsafeMutablePointer<vtok_tensor>?
) -> vtok_error {
  filled(tensor) { try (borrowed(result, "result") as OpenResult).tensor(path(name) ?? "") }
}

private func filled(_ tensor: UnsafeMutablePointer<vtok_tensor>?, _ body: () throws -> vtok_tensor) -> vtok_error {
  let found: vtok_tensor? = attempt {
    guard tensor != nil else {
      throw ArgumentError("tensor", found: "NULL", expected: "where to put it", fix: "Give its address.")
    }
    return try body()
  }
  guard let found else { return vtok_last_error_kind() }
  tensor?.pointee = found
  return VTOK_OK
}

@c @implementation
public func vtok_result_row(_ result: OpaquePointer?) -> UnsafePointer<CChar>? {
  attempt { UnsafePointer((try borrowed(result, "result") as OpenResult).row.pointer) }
}
