import CVTokBuild
import Foundation
import VTokTensor
import VTokWeights

/// Version of the library and the command, as results record it.
public let vtokVersion = "0.1.0"

/// The commit it was built from, `-changed` behind it where files differed from that; nil where the build was not told, as by a
/// plain `swift build`.
public let vtokCommit: String? = {
  let text = String(cString: vtok_build_commit())
  return text.isEmpty ? nil : text
}()

/// Where results come from. It is made here and nowhere else; every file of results holds it.
///
/// Files that must not depend on when and how they were made (those of `PruneJob` and `CalibrationJob`, which go on where
/// they stopped) hold `machine`, without commit, date and command.
public struct Provenance: Sendable {
  /// Last part of the model's path, or its embedded name; SHA-256 of its weights.
  public var model: String?, modelSHA256: String?
  /// With its options, as typed.
  public var method: String?
  public var seed: UInt64?
  public var threads: Int?
  /// What else a kind of result depends on, under keys of its own, before the rest.
  public var more: [(key: String, value: JSON)]
  /// When the results were begun: `2026-11-30T06:05:33Z`.
  public let date: String
  /// What was typed; absolute paths by their last two parts, since results travel.
  public let command: String?

  /// - Parameter arguments: of the command with its name, if there is one.
  public init(
    model: String? = nil, modelSHA256: String? = nil, seed: UInt64? = nil, threads: Int? = nil,
    more: [(key: String, value: JSON)] = [], arguments: [String]? = nil, date: Date = Date()
  ) {
    self.model = model
    self.modelSHA256 = modelSHA256
    self.seed = seed
    self.threads = threads
    self.more = more
    self.date = date.ISO8601Format()
    command = arguments.map { $0.map(Self.shown).joined(separator: " ") }
  }

  /// Version, level of the processor and kernels: results of one kind differ in times and last bits only.
  public static var machine: [(key: String, value: JSON)] {
    [("cpu", JSON(cpuLevel)), ("blas", JSON(Machine.blas)), ("vtok", JSON(vtokVersion))]
  }

  /// What `--version` prints of a program: its version and commit, and what `machine` says, a line each.
  public static func version(of program: String) -> String {
    let about = [(program, vtokVersion), ("commit", vtokCommit ?? "unknown")]
    let lines = about + machine.filter { $0.key != "vtok" }.map { ($0.key, $0.value.string ?? $0.value.text()) }
    return lines.map { "\($0.0) \($0.1)" }.joined(separator: "\n")
  }

  private var members: [(key: String, value: JSON)] {
    let own: [(key: String, value: JSON?)] = [
      ("model", model.map { JSON($0) }), ("model_sha256", modelSHA256.map { JSON($0) }),
      ("method", method.map { JSON($0) }),
      ("seed", seed.map { JSON(Int(truncatingIfNeeded: $0)) }), ("threads", threads.map { JSON($0) }),
    ]
    let made: [(key: String, value: JSON?)] = [
      ("commit", vtokCommit.map { JSON($0) }), ("date", JSON(date)), ("command", command.map { JSON($0) }),
    ]
    func given(_ members: [(key: String, value: JSON?)]) -> [(key: String, value: JSON)] {
      members.compactMap { member in member.value.map { (member.key, $0) } }
    }
    return more + given(own) + Self.machine + given(made)
  }

  public var json: JSON { .object(JSONObject(members.map { ($0.key, $0.value) })) }

  /// As texts, in their order.
  public var lines: [(key: String, value: String)] {
    members.map { ($0.key, $0.value.string ?? $0.value.text()) }
  }

  /// One line: `model_sha256 b390..., seed 0, ...`.
  public var text: String { lines.map { "\($0.key) \($0.value)" }.joined(separator: " · ") }

  /// An argument as a shell takes it.
  private static func shown(_ argument: String) -> String {
    var (short, piece) = ("", "")
    func end() {
      short += piece.hasPrefix("/") ? piece.split(separator: "/").suffix(2).joined(separator: "/") : piece
      piece = ""
    }
    for character in argument {
      if "=,:+".contains(character) {
        end()
        short.append(character)
      } else {
        piece.append(character)
      }
    }
    end()
    let isPlain =
      !short.isEmpty
      && short.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "-_./,:=+%@".contains($0)) }
    return isPlain ? short : "'" + short.replacing("'", with: "'\\''") + "'"
  }
}
