import Foundation
import Testing
import VTok

/// `--stream`: a row for every record, in order, equal to what a folder job or a single answer gives.
@Suite struct StreamTests {
  static let names = ["cat.jpg", "ship.jpg", "automobile-palette.png", "skyline-wide.jpg", "spheres.jpg"]
  static let paths = names.map { pictures + "/" + $0 }

  private func rows(_ done: Finished) throws -> [JSON] {
    try done.out.split(separator: "\n").map { try JSON(parsing: String($0)) }
  }

  private func tokens(_ row: JSON) throws -> Tensor {
    let tensor = try #require(row.value(at: "tensors")?.value(at: "tokens"))
    let text = try #require(tensor.value(at: "base64")?.string)
    let data = try #require(Data(base64Encoded: text))
    let shape = try #require(tensor.value(at: "shape")?.array).compactMap(\.int)
    let isHalf = tensor.value(at: "dtype")?.string == "F16"
    let values = data.withUnsafeBytes { bytes -> [Float] in
      isHalf
        ? bytes.bindMemory(to: UInt16.self).map { Float(Float16(bitPattern: $0)) }
        : Array(bytes.bindMemory(to: Float.self))
    }
    return Tensor(values, shape: shape)
  }

  @Test(arguments: ["--dtype f32", "--dtype f16", "--method random --seed 3 --keep-tokens 9"])
  func rowsAreThoseOfAJob(_ flags: String) throws {
    try inTemporaryFolder { folder in
      let flags = flags.split(separator: " ").map(String.init)
      let list = Self.paths.joined(separator: "\n") + "\n"
      let done = try vtok(["prune", "--stream", "--threads", "3"] + flags, input: list)
      #expect(done.status == 0, "\(done.error)")
      let found = try rows(done)
      #expect(found.map { $0.value(at: "file")?.string } == Self.paths)
      let job = try vtok(["prune", "--files-from", "-", "-o", folder + "/out"] + flags, input: list)
      #expect(job.status == 0, "\(job.error)")
      let file = try Safetensors(path: folder + "/out/tokens-00000.safetensors")
      for (index, row) in found.enumerated() {
        #expect(try tokens(row) == file.tensor("\(index).tokens"))
        #expect(row.value(at: "tensors")?.value(at: "keep")?.value(at: "dtype")?.string == "I64")
      }
    }
  }

  @Test func bytesGiveWhatTheirFileGives() throws {
    let bytes = try Data(contentsOf: URL(fileURLWithPath: Self.paths[0])).base64EncodedString()
    let lines = [
      #"{"image":"\#(Self.paths[0])","id":"a"}"#, #"{"bytes":"\#(bytes)","name":"\#(Self.paths[0])","id":{"n":1}}"#,
    ]
    let done = try vtok(["prune", "--stream", "--method", "random"], input: lines.joined(separator: "\r\n"))
    let found = try rows(done)
    #expect(found.count == 2)
    #expect(try tokens(found[0]) == tokens(found[1]))
    #expect(found.map { $0.value(at: "id")?.text() } == [#""a""#, #"{"n":1}"#])
  }

  @Test func whatIsWrongBecomesARowAndTheRestGoesOn() throws {
    let wrong = [
      "nowhere.png": "unreadable", #"{"image":"a.png","bytes":"AAAA"}"#: "request", #"{"id":5}"#: "request",
      #"{"imag":"a.png"}"#: "request", "{": "request", #"{"bytes":"!"}"#: "request",
      #"{"bytes":"AAAA"}"#: "unsupported-format",
      #"{"image":["a.png","b.png"]}"#: "request", #"{"image":"a.png","name":1}"#: "request",
      #"{"image":"a.png","prompt":"x"}"#: "request", pictures: "unreadable",
    ]
    let lines = wrong.keys.sorted().flatMap { [$0, "", Self.paths[0]] }
    let done = try vtok(["prune", "--stream", "--threads", "4"], input: lines.joined(separator: "\n"))
    #expect(done.status == 3)
    let found = try rows(done)
    #expect(found.map { $0.value(at: "index")?.int } == Array(0..<2 * wrong.count))
    for (index, line) in wrong.keys.sorted().enumerated() {
      let error = found[2 * index].value(at: "error")
      #expect(error?.value(at: "kind")?.string == wrong[line], "\(line): \(found[2 * index].text())")
      #expect(
        error?.value(at: "message")?.string?.hasSuffix(".") == true || error?.value(at: "kind")?.string != "request")
      #expect(found[2 * index + 1].value(at: "status")?.string == "ok")
    }
    #expect(found.first { $0.value(at: "id")?.int == 5 } != nil)
  }

  @Test func recordsMayEndWithNUL() throws {
    let done = try vtok(["prune", "--stream", "-0"], input: Self.paths[0] + "\0nowhere\n.png\0")
    #expect(try rows(done).map { $0.value(at: "file")?.string } == [Self.paths[0], "nowhere\n.png"])
    #expect(try vtok("prune", Self.paths[0], "-0", "-o", "out").status == 2)
  }

  @Test func tensorsGoIntoFilesOfAnEmptyFolder() throws {
    try inTemporaryFolder { folder in
      let out = folder + "/out"
      let done = try vtok(["prune", "--stream", "-o", out], input: Self.paths[0] + "\nnowhere.png\n" + Self.paths[1])
      let found = try rows(done)
      #expect(
        found.map { $0.value(at: "tensors")?.string } == [
          "\(out)/00000000.safetensors", nil, "\(out)/00000002.safetensors",
        ])
      let inline = try rows(vtok(["prune", "--stream"], input: Self.paths[0]))
      #expect(try Safetensors(path: out + "/00000000.safetensors").tensor("tokens") == tokens(inline[0]))
      let again = try vtok(["prune", "--stream", "-o", out], input: Self.paths[0])
      #expect(again.status == 2 && again.out.isEmpty && again.error.contains("empty"), "\(again.error)")
    }
  }

  @Test(arguments: [
    "cat.jpg", "--overlay", "--format json", "--force", "--shard 0/2", "--files-from list", "--keep-ratio 0.5,0.25",
  ])
  func whatAStreamCannotDoIsRefused(_ flags: String) throws {
    let done = try vtok(["prune", "--stream"] + flags.split(separator: " ").map(String.init), input: Self.paths[0])
    #expect(done.status == 2 && done.out.isEmpty, "\(done.error)")
  }

  /// A row leaves before the next record comes, and a reader that goes away ends the run.
  @Test func rowsLeaveAtOnce() throws {
    try inTemporaryFolder { folder in
      let path = quoted(Self.paths[0])
      let done = try shell(
        "mkfifo in; vtok prune --stream --quiet <in >out & exec 3>in; echo \(path) >&3; "
          + "for i in $(seq 100); do [ -s out ] && break; sleep 0.1; done; wc -l <out; exec 3>&-; wait", in: folder)
      #expect(done.out.contains("1"), "\(done.out) \(done.error)")
      let closed = try shell("yes \(path) | vtok prune --stream --quiet | head -n 2 | wc -l", in: folder)
      #expect(closed.out.contains("2"), "\(closed.error)")
    }
  }

  @Test func answersAreThoseOfGenerate() throws {
    let model = repository + "/Benchmarks/models/vqa-small"
    let flags = ["--model", model, "--method", "divprune", "--keep-ratio", "0.5", "--max-tokens", "4"]
    let lines = [
      #"{"id":1,"image":"\#(Self.paths[0])","prompt":"what colour?"}"#, Self.paths[1],
      #"{"image":"none.png","prompt":"x"}"#,
      #"{"image":"\#(Self.paths[0])","prompt":" "}"#,
    ]
    let done = try vtok(
      ["generate", "--stream", "--prompt", "is it red?"] + flags, input: lines.joined(separator: "\n"))
    #expect(done.status == 3)
    let found = try rows(done)
    #expect(found.map { $0.value(at: "status")?.string } == ["ok", "ok", "failed", "failed"])
    for (index, prompt) in ["what colour?", "is it red?"].enumerated() {
      let alone = try vtok(
        ["generate", "--image", Self.paths[index], "--prompt", prompt, "--format", "jsonl"] + flags)
      let expected = try JSON(parsing: alone.out)
      #expect(found[index].value(at: "ids") == expected.value(at: "ids"))
    }
    #expect(try vtok(["generate", "--stream", "--image", "a.png"] + flags, input: "").status == 2)
  }
}
