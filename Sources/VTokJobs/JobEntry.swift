import VTokData
import VTokFiles
import VTokImage
import VTokWeights

/// What the file of an input, or the frames of a video, were when its line was made.
struct InputStamp: Sendable, Equatable {
  let bytes: Int
  /// Of the file, or the archive that holds it. Nanoseconds since 1970, see ``FileInfo``; of frames a sum that a change of any
  /// changes.
  var modified: Int64, changed: Int64
  /// Of the content.
  let sha256: String

  /// - Parameter files: one, or the frames of a video.
  init(_ files: [ImageFile]) {
    bytes = files.reduce(0) { $0 + $1.bytes.count }
    (modified, changed) = Self.times(files.map(\.info))
    let sums = files.map { SHA256.of($0.bytes) }
    sha256 = sums.count == 1 ? sums[0] : SHA256.of(Array(sums.joined().utf8))
  }

  private static func times(_ files: [FileInfo]) -> (modified: Int64, changed: Int64) {
    files.dropFirst().reduce((files[0].modified, files[0].changed)) {
      ($0.modified &* 31 &+ $1.modified, $0.changed &* 31 &+ $1.changed)
    }
  }

  init?(_ fields: ArraySlice<Substring>) {
    let fields = Array(fields)
    guard fields.count == 4, let bytes = Int(fields[0]), let modified = Int64(fields[1]), let changed = Int64(fields[2])
    else { return nil }
    self.bytes = bytes
    self.modified = modified
    self.changed = changed
    sha256 = String(fields[3])
  }

  var text: String { "\(bytes) \(modified) \(changed) \(sha256)" }

  /// The stamp of the same content as it lies there now; nil if it is another content or none. The content is read only if
  /// the file, or the archive that holds it, was touched.
  func refreshed(_ input: InputFile) throws -> InputStamp? {
    let infos = try input.paths.compactMap { try FileInfo.ifThere($0) }
    guard infos.count == input.paths.count, infos.allSatisfy({ $0.kind == .file }), input.size(infos) == bytes else {
      return nil
    }
    if Self.times(infos) == (modified, changed) { return self }
    do throws(ImageError) {
      let now = InputStamp(try input.readAll())
      return now.sha256 == sha256 ? now : nil
    } catch {
      _ = try error.ofPicture()
      return nil
    }
  }
}

/// One input of a job as its files keep it: a line of the manifest and what it was made from.
struct JobEntry: Sendable, Equatable {
  /// An input that failed is tried again whenever the job is.
  let isGood: Bool
  /// nil for an input that could not be read.
  var stamp: InputStamp?
  /// The picture drawn of it.
  var overlay: FileSum?
  /// The manifest's line, without its end.
  var line: ArraySlice<UInt8>

  /// The first of its two lines in a marker; the second is the manifest's.
  var stampText: String {
    "\(isGood ? "ok" : "failed") \(stamp?.text ?? "-") \(overlay.map { "\($0.bytes):\($0.crc)" } ?? "-")"
  }
}

extension JobEntry {
  init?(stampText: ArraySlice<UInt8>, line: ArraySlice<UInt8>) {
    let fields = String(decoding: stampText, as: UTF8.self).split(separator: " ")
    guard let first = fields.first, let last = fields.last, first == "ok" || first == "failed" else { return nil }
    isGood = first == "ok"
    self.line = line
    switch fields.count {
    case 3 where fields[1] == "-" && !isGood: break
    case 6:
      guard let stamp = InputStamp(fields[1..<5]) else { return nil }
      self.stamp = stamp
    default: return nil
    }
    if last == "-" { return }
    let sum = last.split(separator: ":")
    guard sum.count == 2, let bytes = Int(sum[0]), let crc = UInt32(sum[1]) else { return nil }
    overlay = FileSum(bytes: bytes, crc: crc)
  }

  // MARK: The manifest's line, whose ends are known

  /// How the line of an input starts.
  static func head(_ index: Int, _ name: String) -> [UInt8] { start(index) + Array(JSON(name).text().utf8) + [0x2C] }
  private static func start(_ index: Int) -> [UInt8] {
    Array(#"{"schema":"vtok-manifest/1","index":\#(index),"file":"#.utf8)
  }
  private static func end(_ shard: Int) -> [UInt8] { Array(#","shard":\#(shard)}"#.utf8) }

  func isOf(_ index: Int, _ name: String) -> Bool { line.starts(with: Self.head(index, name)) }

  /// The same input at another place; nil for a line that is not as we write them.
  func moved(from old: Int, _ oldShard: Int, to index: Int, _ shard: Int) -> JobEntry? {
    let (start, end) = (Self.start(old), Self.end(oldShard))
    guard line.count > start.count + end.count, line.starts(with: start), line.suffix(end.count).elementsEqual(end)
    else {
      return nil
    }
    var moved = self
    moved.line = (Self.start(index) + line.dropFirst(start.count).dropLast(end.count) + Self.end(shard))[...]
    return moved
  }

  /// The name of the input; nil for a line that is none.
  var name: String? { (try? JSON(parsing: Array(line)))?["file"]?.string }
}

/// Sums over the lines of a job.
public struct Totals: Sendable, Equatable {
  /// Lines of pictures that are done, and that failed.
  public internal(set) var good = 0, failed = 0
  var sums = [Double](repeating: 0, count: paths.count)
  /// Lines that say why another number of tokens is kept than was asked, and what the first of them says.
  public internal(set) var reasons = 0
  public internal(set) var firstReason: String?

  /// What is added up of a line.
  static let paths = [
    "tokens.in", "tokens.out", "gmacs.dense", "gmacs.reduced", "gmacs.selection", "budget.asked_count",
  ]

  public var images: Int { good + failed }

  /// The mean of one of the numbers over the pictures that are done; NaN for none.
  public func mean(_ path: String) -> Double {
    guard let place = Self.paths.firstIndex(of: path) else { preconditionFailure("no sum of '\(path)'") }
    return good == 0 ? .nan : sums[place] / Double(good)
  }

  /// What one line adds.
  struct Line: Sendable {
    let numbers: [Double]
    let reason: String?

    /// nil for a picture that failed.
    init?(_ line: JSON) {
      guard line["status"]?.string == "ok" else { return nil }
      numbers = Totals.paths.map { line.value(at: $0)?.double ?? 0 }
      reason = line.value(at: "budget.reason")?.string
    }
  }

  mutating func add(_ line: Line?) {
    guard let line else {
      failed += 1
      return
    }
    good += 1
    for place in sums.indices { sums[place] += line.numbers[place] }
    if let reason = line.reason {
      reasons += 1
      firstReason = firstReason ?? reason
    }
  }

  mutating func add(_ other: Totals) {
    good += other.good
    failed += other.failed
    for place in sums.indices { sums[place] += other.sums[place] }
    reasons += other.reasons
    firstReason = firstReason ?? other.firstReason
  }

  var json: JSON {
    let counts: [(String, JSON)] = [
      ("good", JSON(good)), ("failed", JSON(failed)), ("reasons", JSON(reasons)),
      ("reason", firstReason.map { JSON($0) } ?? .null),
    ]
    return .object(JSONObject(counts + zip(Self.paths, sums).map { ($0, JSON($1)) }))
  }

  init() {}
  init?(_ json: JSON?) {
    guard let good = json?["good"]?.int, let failed = json?["failed"]?.int else { return nil }
    self.good = good
    self.failed = failed
    guard let reasons = json?["reasons"]?.int else { return nil }
    self.reasons = reasons
    firstReason = json?["reason"]?.string
    for (place, path) in Self.paths.enumerated() {
      guard let sum = json?[path]?.double else { return nil }
      sums[place] = sum
    }
  }
}
