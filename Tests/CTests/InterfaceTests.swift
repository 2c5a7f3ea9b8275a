import CVTokAPI
import Foundation
import Synchronization
import Testing
import VTok

/// vtok.h as a program in C calls it.
@Suite struct InterfaceTests {
  static let pictures = URL(filePath: #filePath).deletingLastPathComponent().path + "/../../Images"
  static let root = URL(filePath: #filePath).deletingLastPathComponent().path + "/../.."

  /// Texts that live as long as the body.
  private func withOptions<Value>(
    method: String? = nil, ratio: Double = 0, tokens: Int64 = 0, model: String? = nil, precision: String? = nil,
    _ body: (UnsafePointer<vtok_options>) throws -> Value
  ) rethrows -> Value {
    var options = vtok_options()
    options.size = MemoryLayout<vtok_options>.size
    let texts = [method, model, precision].map { $0.map { strdup($0)! } }
    defer { for text in texts { free(text) } }
    (options.method, options.model, options.precision) = (
      texts[0].map { UnsafePointer($0) }, texts[1].map { UnsafePointer($0) }, texts[2].map { UnsafePointer($0) }
    )
    (options.keep_ratio, options.keep_tokens) = (ratio, tokens)
    return try body(&options)
  }

  private func bytes(_ result: OpaquePointer?, _ name: String) -> (values: [UInt8], shape: [Int64]) {
    var tensor = vtok_tensor()
    #expect(vtok_result_find(result, name, &tensor) == VTOK_OK)
    return (
      [UInt8](UnsafeRawBufferPointer(start: tensor.data, count: tensor.length)),
      Array(UnsafeBufferPointer(start: tensor.shape, count: Int(tensor.rank)))
    )
  }

  private var lastError: String { String(cString: vtok_last_error()) }

  @Test(arguments: ["divprune", "tome", "random"])
  func resultsAreThoseOfAPipeline(_ method: String) throws {
    let path = Self.pictures + "/cat.jpg"
    let image = try Image.decode(contentsOf: path).image
    let expected = try Pipeline(model: "vtok-tiny", method: method, keep: .ratio(0.25))(
      image, seed: mixedSeed(7, "cat"))
    let pipeline = withOptions(method: method, ratio: 0.25) { vtok_pipeline_open($0) }
    defer { vtok_pipeline_free(pipeline) }
    #expect(pipeline != nil, "\(lastError)")
    let file = try [UInt8](Data(contentsOf: URL(filePath: path)))
    // A row of pixels may have bytes behind it.
    let row = image.width * 3
    var wide: [UInt8] = []
    for y in 0..<image.height {
      wide += image.rgb[(y * row)..<((y + 1) * row)]
      wide += [9, 9, 9, 9, 9]
    }
    func run(_ data: [UInt8], width: Int = 0, stride: Int = 0, path: UnsafePointer<CChar>? = nil) -> OpaquePointer? {
      "cat".withCString { name in
        data.withUnsafeBytes { bytes in
          var given = vtok_image()
          (given.path, given.name) = (path, name)
          if path == nil { (given.data, given.length) = (bytes.baseAddress, bytes.count) }
          (given.width, given.height) = (Int32(width), width == 0 ? 0 : Int32(image.height))
          given.stride = Int64(stride)
          return vtok_pipeline_run(pipeline, &given, 7)
        }
      }
    }
    let results = [
      path.withCString { run([], path: $0) }, run(file), run(image.rgb, width: image.width),
      run(wide.dropLast(5), width: image.width, stride: row + 5),
    ]
    for result in results {
      defer { vtok_result_free(result) }
      #expect(result != nil, "\(lastError)")
      let tokens = bytes(result, "tokens")
      #expect(tokens.shape == expected.tokens.shape.map(Int64.init))
      #expect(tokens.values == expected.tokens.values.withUnsafeBytes { Array($0) })
      #expect(bytes(result, "keep").values == expected.keep.map(Int64.init).withUnsafeBytes { Array($0) })
      #expect(bytes(result, "pooled").values == expected.pooled.withUnsafeBytes { Array($0) })
      #expect(bytes(result, "logits").values == expected.logits!.withUnsafeBytes { Array($0) })
      #expect(bytes(result, "origin.offsets").shape == [Int64(expected.keep.count + 1)])
      #expect(vtok_result_count(result) == 7)
      let about = try JSON(parsing: String(cString: vtok_result_row(result)))
      #expect(about.value(at: "tokens.out")?.int == expected.keep.count)
    }
  }

  private final class Heard: Sendable { let text = Mutex("?") }

  @Test func aThreadHasItsOwnError() {
    #expect(withOptions(method: "tomee") { vtok_pipeline_open($0) } == nil)
    #expect(vtok_last_error_kind() == VTOK_ERROR_REQUEST)
    #expect(lastError.contains("did you mean 'tome'?"))
    let (there, isOver) = (Heard(), DispatchSemaphore(value: 0))
    Thread {
      there.text.withLock { $0 = String(cString: vtok_last_error()) }
      isOver.signal()
    }.start()
    isOver.wait()
    #expect(there.text.withLock { $0 } == "")
  }

  @Test(
    arguments: [
      ("tome", 1.5, 0, nil, "keep_ratio: 1.5"), ("tome", 0.5, 4, nil, "keep_ratio and keep_tokens"),
      ("tome", 0, -1, nil, "keep_tokens: -1"), ("tome:r=3", 0.5, 0, nil, "an amount of its own"),
      ("fastv", 0.5, 0, nil, "fastv"), ("tome", 0, 0, "int3", "precision: 'int3'"),
    ] as [(String, Double, Int64, String?, String)])
  func whatIsAskedIsChecked(_ method: String, _ ratio: Double, _ tokens: Int64, _ precision: String?, _ text: String) {
    let pipeline = withOptions(method: method, ratio: ratio, tokens: tokens, precision: precision) {
      vtok_pipeline_open($0)
    }
    #expect(pipeline == nil)
    #expect(vtok_last_error_kind() == VTOK_ERROR_REQUEST)
    #expect(lastError.contains(text), "\(lastError)")
  }

  @Test func errorsHaveKinds() throws {
    #expect(withOptions(model: "/nowhere") { vtok_pipeline_open($0) } == nil)
    #expect(vtok_last_error_kind() == VTOK_ERROR_MODEL, "\(lastError)")
    let pipeline = withOptions { vtok_pipeline_open($0) }
    defer { vtok_pipeline_free(pipeline) }
    func run(_ data: [UInt8], width: Int32, height: Int32, stride: Int64 = 0) -> vtok_error {
      data.withUnsafeBytes { bytes in
        var image = vtok_image(
          path: nil, data: bytes.baseAddress, length: bytes.count, width: width, height: height, stride: stride,
          name: nil)
        let result = vtok_pipeline_run(pipeline, &image, 0)
        defer { vtok_result_free(result) }
        return result == nil ? vtok_last_error_kind() : VTOK_OK
      }
    }
    #expect(run([1, 2, 3], width: 0, height: 0) == VTOK_ERROR_IMAGE)
    #expect(run([1, 2, 3], width: 1, height: 1) == VTOK_OK)
    #expect(run([1, 2, 3], width: 1, height: 2) == VTOK_ERROR_REQUEST)
    #expect(run([1, 2, 3], width: -1, height: 1) == VTOK_ERROR_REQUEST)
    #expect(run([1, 2, 3], width: 0, height: 1) == VTOK_ERROR_REQUEST)
    #expect(run([1, 2, 3, 4, 5, 6], width: 1, height: 2, stride: 2) == VTOK_ERROR_REQUEST)
    #expect(run([1, 2, 3, 4, 5, 6], width: 1, height: 2, stride: .max) == VTOK_ERROR_REQUEST)
    #expect(vtok_pipeline_run(nil, nil, 0) == nil)
    #expect(lastError.contains("pipeline: NULL"))
    #expect(vtok_pipeline_run(pipeline, nil, 0) == nil)
    #expect(lastError.contains("image: NULL"))
    for free in [vtok_pipeline_free, vtok_result_free, vtok_generator_free, vtok_answer_free] { free(nil) }
  }

  // MARK: Versions

  @Test func structsOfOtherVersionsAreRead() throws {
    let size = MemoryLayout<vtok_options>.size
    func open(_ bytes: [UInt8]) -> Bool {
      let pipeline = bytes.withUnsafeBytes {
        vtok_pipeline_open($0.baseAddress!.assumingMemoryBound(to: vtok_options.self))
      }
      defer { vtok_pipeline_free(pipeline) }
      return pipeline != nil
    }
    func options(size: Int, count: Int) -> [UInt8] {
      withUnsafeBytes(of: size) { Array($0) } + [UInt8](repeating: 0, count: count - 8)
    }
    #expect(open(options(size: size, count: size)))
    #expect(open(options(size: 16, count: size)))  // an older one, with two fields
    #expect(open(options(size: size + 64, count: size + 64)))  // a newer one that asks nothing new
    var newer = options(size: size + 64, count: size + 64)
    newer[size + 3] = 1
    #expect(!open(newer))
    #expect(lastError.contains("a newer vtok.h"))
    #expect(!open(options(size: 0, count: size)))
    #expect(lastError.contains("options.size: 0"))
    #expect(vtok_api_version() == VTOK_API_VERSION)
    #expect(String(cString: vtok_version()) == vtokVersion)
  }

  /// What the header declares is what the library shows.
  @Test func theMapNamesEveryFunction() throws {
    func names(_ path: String, _ pattern: Regex<(Substring, Substring)>) throws -> Set<Substring> {
      let text = try String(contentsOfFile: Self.root + path, encoding: .utf8)
      return Set(text.split(separator: "\n").compactMap { $0.firstMatch(of: pattern)?.1 })
    }
    let declared = try names("/Sources/CVTokAPI/include/vtok.h", #/^[a-z].*?\b(vtok_[a-z_]+)\((?!\*)/#)
    let shown = try names("/Sources/CVTokAPI/exported.map", #/^ +(vtok_[a-z_]+);/#)
    #expect(declared == shown)
    #expect(declared.count > 20)
  }
}
