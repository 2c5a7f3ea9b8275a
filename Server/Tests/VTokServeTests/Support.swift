import Foundation
import VTok
import VTokServe

let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
  .deletingLastPathComponent().deletingLastPathComponent().path

let models = repository + "/Benchmarks/models/"

func file(_ path: String) throws -> [UInt8] { try Array(Data(contentsOf: URL(fileURLWithPath: path))) }

func dataURL(_ bytes: [UInt8], _ kind: String = "image/png") -> String {
  "data:\(kind);base64,\(Data(bytes).base64EncodedString())"
}

/// A body with one question about images.
func chat(_ question: String, _ images: [[UInt8]], model: String = "vqa-small", _ more: [(String, JSON)] = []) -> JSON {
  let parts = images.map { ["type": "image_url", "image_url": ["url": JSON(dataURL($0))]] as JSON }
  let content = JSON.array(parts + [["type": "text", "text": JSON(question)]])
  let head: [(String, JSON)] = [("model", JSON(model)), ("messages", [["role": "user", "content": content]])]
  return .object(JSONObject(head + more))
}

/// The error that something throws, as clients see it.
func refusal(_ body: () throws -> Void) -> APIError? {
  do { try body() } catch { return APIError(error) }
  return nil
}
