import VTokFiles
import VTokModels
import VTokWeights

/// A conversation out of a file: a `MessageList` whose images are files, paths from the folder of the file.
public struct MessageFile: Sendable {
  public let path: String
  public let messages: [ChatMessage]
  /// Of all images in their order; nil where a message leaves the file to be named elsewhere.
  public let images: [String?]

  /// What is wrong with such a file.
  public struct Mistake: OneLineError {
    public let message: String

    init(_ path: String, at place: String = "", _ reason: String) {
      message = "messages '\(path)'\(place.isEmpty ? "" : " at `\(place)`"): \(reason)"
    }
  }

  /// - Throws: `MessageFile.Mistake` naming the first thing that is wrong and its place. Images are not opened, but must
  ///   be there.
  public init(_ path: String) throws(Mistake) {
    let bytes: [UInt8]
    do throws(SystemError) { bytes = try FileBytes.read(path) } catch {
      throw Mistake(path, "no file that can be read (\(error.reason)), expected a JSON file. Check the path.")
    }
    let json: JSON
    do { json = try JSON(parsing: bytes) } catch {
      throw Mistake(path, "a file that is \(error), expected a JSON list of messages. Correct the file.")
    }
    self.path = path
    do throws(MessageMistake) {
      let list = try MessageList(json) { image, place throws(MessageMistake) in
        try Self.file(image, place, from: FileName.split(path).folder)
      }
      messages = list.messages
      images = list.images
    } catch {
      throw Mistake(path, at: error.place, error.reason)
    }
  }

  private static func file(_ json: JSON, _ place: String, from folder: String) throws(MessageMistake) -> String {
    guard var name = json.string ?? json["url"]?.string, !name.isEmpty else {
      throw MessageMistake(place, json, expected: "a path")
    }
    if name.hasPrefix("file://") {
      name = String(name.dropFirst(7))
    } else if name.hasPrefix("data:") || name.contains("://") {
      throw MessageMistake(
        place, .string(name), expected: "the path of a file: nothing is fetched or unpacked")
    }
    let full = name.hasPrefix("/") || folder.isEmpty ? name : folder + "/" + name
    guard let info = try? FileInfo(full), info.kind != .folder else {
      throw MessageMistake(place, .string(name), expected: "an image, from the folder of this file")
    }
    return full
  }
}
