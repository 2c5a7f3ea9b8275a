import Foundation
import Testing
import VTokTensor
import VTokWeights

/// Files of `PyTorch/make.py`, and hostile ones made here byte by byte.
@Suite struct PyTorchFileTests {
  private func fixture(_ name: String) -> String {
    URL(fileURLWithPath: #filePath).deletingLastPathComponent().path + "/PyTorch/" + name
  }

  private func opened(_ bytes: [UInt8]) throws(WeightError) -> PyTorchFile {
    try PyTorchFile(bytes.withUnsafeBytes { MappedFile(copying: $0, name: "test.bin") })
  }

  // MARK: What PyTorch wrote

  @Test(arguments: ["zip.pth", "legacy.pth"]) func readsEveryKindOfTensor(_ name: String) throws {
    let file = try PyTorchFile(path: fixture(name))
    let count = (0..<12).map { Float($0) }
    #expect(try file.tensor("f32") == Tensor(count.map { $0 - 6.5 }, shape: [3, 4]))
    #expect(try file.tensor("f16").values.enumerated().allSatisfy { abs($1 - Float($0) / 3) < 2e-3 })
    #expect(try file.weight("f16").type == .f16 && file.weight("bf16").rows == 6)
    #expect(try file.tensor("bf16").values.enumerated().allSatisfy { abs($1 - Float($0) / 3) < 2e-2 })
    #expect(try file.tensor("f64").values.enumerated().allSatisfy { abs($1 - Float($0) / 3) < 1e-6 })
    #expect(try file.integers("i64") == [.min, .max] && file.integers("i32") == [Int64(Int32.min), 7])
    #expect(try file.integers("i16") == [-3, 4] && file.integers("i8") == [-1, 2] && file.integers("u8") == [255, 0])
    #expect(try file.bytes("bool") == [1, 0] && file.entry("i32")?.shape == [2, 1])
    #expect(try file.tensor("scalar") == Tensor([2.5], shape: []))
    #expect(try file.tensor("empty").shape == [0, 5])
    let transposed: [Float] = [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]
    #expect(try file.tensor("transposed") == Tensor(transposed, shape: [4, 3]))
    #expect(try file.weight("transposed").row(1) == [1, 5, 9])
    let permuted: [Float] = [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11]
    #expect(try file.tensor("permuted") == Tensor(permuted, shape: [3, 2, 2]))
    #expect(try file.tensor("column").values == [1, 5, 9] && file.tensor("tail").values == [7, 8, 9, 10, 11])
    #expect(try file.tensor("parameter").values == [0, 1] && file.tensor("a name with spaces, ä").values == [1])
    #expect(try file.tensor("nested.deep.w").values == [0, 1, 2] && file.tensor("nested.5").values == [3, 4])
    #expect(file.entries.count == 20 && file.metadata.isEmpty, "numbers and texts are no tensors")
  }

  @Test(arguments: ["training.pth", "module.pth"]) func findsTheWeightsOfATraining(_ name: String) throws {
    let file = try PyTorchFile(path: fixture(name))
    #expect(Set(file.entries.map(\.name)).count == 7, "the optimizer stays outside")
    #expect(try file.tensor("0.weight") == Tensor([Float](repeating: 0.5, count: 6), shape: [2, 3]))
    #expect(try file.tensor("1.bias").values == [3.5, 3.5] && file.integers("1.num_batches_tracked") == [1])
  }

  /// The averaged weights of a training come before the last ones; its arguments are passed over.
  @Test func averagedWeightsComeFirst() throws {
    let file = try PyTorchFile(path: fixture("averaged.pth"))
    #expect(file.entries.count == 7)
    #expect(try file.tensor("0.weight") == Tensor([Float](repeating: 1.5, count: 6), shape: [2, 3]))
    #expect(try file.tensor("1.bias").values == [4.5, 4.5])
  }

  @Test func isACheckpoint() throws {
    try withFolder { folder in
      try FileManager.default.copyItem(atPath: fixture("module.pth"), toPath: folder + "/vit.pth")
      #expect(weightError { _ = try Checkpoint(directory: folder) }?.file == folder + "/config.json")
      #expect(try Checkpoint(directory: folder, config: ["a": 1]).config["a"] == 1)
      try write(#"{"a": 2}"#, folder + "/config.json")
      let checkpoint = try Checkpoint(directory: folder, config: ["a": 1])
      #expect(checkpoint.config["a"] == 2 && checkpoint.count("") == 0)
      #expect(try checkpoint["0"].weight("weight", [2, 3]).row(0) == [0.5, 0.5, 0.5])
      try FileManager.default.copyItem(atPath: fixture("zip.pth"), toPath: folder + "/more.pt")
      #expect(weightError { _ = try Checkpoint(directory: folder) }?.kind == .unsupportedFormat)
      let index = #"{"weight_map": {"0.weight": "vit.pth", "f32": "more.pt"}}"#
      try write(index, folder + "/pytorch_model.bin.index.json")
      #expect(try Checkpoint(directory: folder).files.count == 2)
      try FileManager.default.copyItem(atPath: fixture("zip.pth"), toPath: folder + "/pytorch_model.bin")
      #expect(try Checkpoint(directory: folder).tensor("f32", [3, 4]).values[0] == -6.5)
      #expect(try Checkpoint(file: fixture("zip.pth")).has("nested.deep.w"))
      try Safetensors.write([("x", .f32(Tensor([1], shape: [1])))], to: folder + "/model.safetensors")
      #expect(try Checkpoint(directory: folder).tensors.map(\.name) == ["x"], "safetensors come first")
    }
  }

  // MARK: Damage

  /// Reads all there is; errors of another kind than `WeightError` fail the test, crashes end it.
  private func isRefused(_ bytes: [UInt8]) -> Bool {
    do throws(WeightError) {
      let file = try opened(bytes)
      for entry in file.entries {
        switch entry.type {
        case .f32, .f16, .bf16, .f64: _ = try file.tensor(entry.name)
        default: _ = try file.integers(entry.name)
        }
      }
      return false
    } catch {
      return true
    }
  }

  @Test(arguments: ["zip.pth", "legacy.pth", "training.pth", "module.pth", "averaged.pth"]) func refusesWhatIsCut(
    _ name: String
  ) throws {
    let whole = [UInt8](try Data(contentsOf: URL(fileURLWithPath: fixture(name))))
    #expect(!isRefused(whole))
    for count in 0..<whole.count { #expect(isRefused(Array(whole[..<count])), "\(count) bytes") }
  }

  /// Every bit of an archive's pickle and elements is covered by a checksum; flips elsewhere hurt or do not matter, but
  /// never crash. The old format has no checksums.
  @Test(arguments: ["zip.pth", "legacy.pth", "training.pth", "averaged.pth"]) func survivesFlippedBits(_ name: String)
    throws
  {
    var bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: fixture(name))))
    var refused = 0
    for at in bytes.indices {
      for bit in 0..<8 {
        bytes[at] ^= 1 << UInt8(bit)
        if isRefused(bytes) { refused += 1 }
        bytes[at] ^= 1 << UInt8(bit)
      }
    }
    #expect(refused > bytes.count, "\(refused) of \(8 * bytes.count)")
    guard name == "zip.pth" else { return }
    // Each storage is preceded by its local header; the elements of `f32` start with -6.5.
    let start = try PyTorchFile(path: fixture(name)).entry("f32")!.range.lowerBound
    bytes[start + 40] ^= 1
    let error = weightError { _ = try opened(bytes).tensor("f32") }
    #expect(error?.kind == .checksum && error?.tensor == "f32")
  }

  // MARK: Malice

  /// An archive as `torch.save` would write it around a pickle and one storage of 16 bytes.
  /// - Parameter wide: sizes and places with 64 bits, in an extra field of so many of the three.
  private func archive(
    _ pickle: [UInt8], method: UInt16 = 0, folder: String = "archive", more: [(String, [UInt8])] = [], wide: Int = 0
  ) -> [UInt8] {
    var out: [UInt8] = []
    var directory: [UInt8] = []
    let files = [(folder + "/data.pkl", pickle), (folder + "/data/0", bytes([Float](repeating: 1, count: 4)))] + more
    for (name, content) in files {
      let sum = content.withUnsafeBytes { crc32($0) }
      let common =
        bytes([UInt16(0), method, 0, 0]) + bytes([sum, UInt32(content.count), UInt32(content.count)])
        + bytes([UInt16(name.utf8.count), 0])
      let extra =
        wide == 0
        ? []
        : bytes([UInt16(7), 0, 1, UInt16(8 * wide)])
          + bytes([UInt64(content.count), UInt64(content.count), UInt64(out.count)].prefix(wide).map { $0 })
      var header = bytes([UInt32(0x0201_4b50)]) + bytes([UInt16(0), 0]) + common
      header += bytes([UInt16(0), 0, 0, 0, 0]) + bytes([UInt32(out.count)]) + Array(name.utf8) + extra
      header[30] = UInt8(extra.count)
      if wide > 0 { for at in [20, 24, 42] { for byte in 0..<4 { header[at + byte] = 0xFF } } }
      directory += header
      out += bytes([UInt32(0x0403_4b50)]) + bytes([UInt16(0)]) + common + Array(name.utf8) + content
    }
    let end = bytes([UInt16(0), 0, UInt16(files.count), UInt16(files.count)])
    return out + directory + bytes([UInt32(0x0605_4b50)]) + end
      + bytes([UInt32(directory.count), UInt32(out.count)]) + bytes([UInt16(0)])
  }

  private func text(_ text: String) -> [UInt8] {
    [UInt8(ascii: "X")] + bytes([UInt32(text.utf8.count)]) + Array(text.utf8)
  }
  private func number(_ value: Int) -> [UInt8] {
    [0x8A, 8] + bytes([Int64(value)])
  }
  private func tuple(_ parts: [UInt8]...) -> [UInt8] { [0x28] + parts.flatMap { $0 } + [0x74] }
  private func global(_ module: String, _ name: String) -> [UInt8] { Array("c\(module)\n\(name)\n".utf8) }

  /// A dictionary with one tensor `w`.
  private func pickle(
    offset: Int = 0, shape: [Int] = [4], strides: [Int] = [1], count: Int = 4, key: String = "0",
    function: (String, String) = ("torch._utils", "_rebuild_tensor_v2"), storage: String = "FloatStorage"
  ) -> [UInt8] {
    func numbers(_ values: [Int]) -> [UInt8] { [0x28] + values.flatMap { number($0) } + [0x74] }
    let id = tuple(text("storage"), global("torch", storage), text(key), text("cpu"), number(count)) + [0x51]
    let arguments = tuple(id, number(offset), numbers(shape), numbers(strides), [0x89], [0x4E])
    return [0x80, 2, 0x7D] + text("w") + global(function.0, function.1) + arguments + [0x52, 0x73, 0x2E]
  }

  @Test func readsWhatIsMadeHere() throws {
    #expect(try opened(archive(pickle())).tensor("w") == Tensor([1, 1, 1, 1], shape: [4]))
    #expect(try opened(archive(pickle(offset: 1, shape: [3, 1], strides: [1, 9]))).tensor("w").shape == [3, 1])
    #expect(try opened(archive(pickle(), wide: 3)).tensor("w").values == [1, 1, 1, 1])
    #expect(weightError { _ = try opened(archive(pickle(), wide: 2)) }?.kind == .archive, "no place")
    #expect(try opened(archive(pickle(offset: 9, shape: [0, 7], strides: [7, 1]))).tensor("w").shape == [0, 7])
  }

  static let numbers: [(offset: Int, shape: [Int], strides: [Int], count: Int)] = [
    (1, [4], [1], 4), (4, [1], [1], 4), (4, [], [], 4), (-1, [1], [1], 4), (0, [-1], [1], 4), (0, [4], [-1], 4),
    (0, [5], [1], 5), (0, [2, 2], [3, 1], 4), (0, [2], [.max], 4), (.max, [2], [1], 4), (0, [.max, .max], [0, 0], 4),
    (0, [1 << 40], [0], 4), (0, [5], [0], 4), (0, [1], [1], .max), (0, [1], [1], -1), (0, [4], [1, 1], 4),
    (0, [.max], [.max], 4), (.min, [1], [1], 4),
  ]

  @Test(arguments: numbers) func refusesTensorsOutsideOfTheirStorage(
    _ offset: Int, _ shape: [Int], _ strides: [Int], _ count: Int
  ) {
    let error = weightError {
      _ = try opened(archive(pickle(offset: offset, shape: shape, strides: strides, count: count)))
    }
    #expect(error?.kind == .byteRange || error?.kind == .pickle)
  }

  @Test func refusesCode() {
    func refused(_ pickle: [UInt8]) -> String {
      let error = weightError { _ = try opened(archive(pickle)) }
      #expect(error?.kind == .pickle)
      return error?.found ?? ""
    }
    let call = text("touch /tmp/owned") + [0x85, 0x52, 0x2E]
    #expect(refused([0x80, 2] + global("os", "system") + call) == "the pickle opcode GLOBAL of `os.system`")
    #expect(refused([0x80, 2] + global("posix", "system") + call).contains("`posix.system`"))
    #expect(refused([0x80, 2] + global("builtins", "eval") + call).contains("`builtins.eval`"))
    #expect(refused([0x80, 4] + call).contains("PROTO"))
    #expect(refused(text("os") + text("system") + [0x93]).contains("STACK_GLOBAL"))
    #expect(refused([0x28] + Array("ios\nsystem\n".utf8)).contains("INST"))
    #expect(refused([0x28] + global("collections", "OrderedDict") + [0x6F]).contains("OBJ"))
    #expect(refused(global("collections", "OrderedDict") + [0x29, 0x81]).contains("NEWOBJ"))
    #expect(refused([0x82, 1]).contains("EXT1") && refused([0xF0]).contains("0xf0"))
    // Known functions with other arguments, and calls of what is no function.
    #expect(refused(global("collections", "OrderedDict") + text("a") + [0x85, 0x52]).contains("REDUCE"))
    #expect(refused(global("torch", "FloatStorage") + [0x29, 0x52]).contains("REDUCE"))
    #expect(refused(text("a") + [0x29, 0x52]).contains("REDUCE"))
    #expect(
      refused(global("torch._utils", "_rebuild_parameter") + text("a") + [0x89, 0x4E, 0x87, 0x52]).contains("REDUCE"))
    #expect(refused(text("a") + [0x7D, 0x62, 0x2E]).contains("BUILD"))
    #expect(refused(text("a") + [0x51]).contains("BINPERSID"))
    #expect(refused(pickle(function: ("torch", "load"))).contains("`torch.load`"))
    #expect(refused(pickle(storage: "QInt8Storage")).contains("QInt8Storage"))
  }

  @Test func refusesWhatIsNoPickle() {
    func refused(_ pickle: [UInt8], _ kind: WeightError.Kind = .pickle) {
      let error = weightError { _ = try opened(archive(pickle)) }
      #expect(error?.kind == kind, "\(error?.description ?? "")")
    }
    let truncated: [[UInt8]] = [
      [], [0x2E], [0x80], [0x80, 2], [0x80, 2, 0x2E], [0x4E, 0x2E], [0x29, 0x2E], [0x52], [0x73], [0x75], [0x74],
      [0x65],
      [0x61], [0x85], [0x71, 0], [0x68, 0], [0x6A, 0, 0, 0, 0], [0x58, 255, 255, 255, 255], [0x58, 5, 0, 0, 0, 65],
      [0x55, 3, 65], [0x8A, 9] + [UInt8](repeating: 1, count: 9), [0x8A, 200], [0x63, 65], [0x28, 0x73],
      [0x7D, 0x28, 0x4E, 0x75],
      [0x5D, 0x4E, 0x73], [0x7D, 0x4E, 0x61], [0x58, 1, 0, 0, 0, 0xFF, 0x2E], [0x28, 0x2E], [0x4E, 0x28, 0x62],
      [0x47, 0],
    ]
    for bytes in truncated { refused(bytes) }
    refused(Array("(lp0\nI1\naI2\na.".utf8))  // protocol 0
    refused([UInt8](repeating: 0x28, count: 1 << 20), .budget)
    refused([UInt8](repeating: 0x5D, count: 1 << 20), .budget)
    // A tuple in a tuple in a tuple ...: neither reading nor freeing it may use the stack.
    refused([0x29] + [UInt8](repeating: 0x85, count: 1 << 20) + [0x2E], .budget)
    refused([0x29] + [UInt8](repeating: 0x85, count: 1 << 18) + [0x2E])
    // A dictionary in itself, and 2^40 ways through 40 dictionaries.
    refused([0x7D, 0x71, 0] + text("a") + [0x68, 0, 0x73, 0x2E])
    var bomb: [UInt8] = [0x7D, 0x71, 0]
    for level in 1...40 {
      let inner: [UInt8] = [0x68, UInt8(level - 1)]
      bomb += [0x7D, 0x71, UInt8(level)] + text("a") + inner + [0x73] + text("b") + inner + [0x73]
    }
    refused(bomb + [0x2E])
    bomb = [0x7D, 0x71, 0]
    for level in 1...14 {
      bomb += [0x7D, 0x71, UInt8(level)]
      for part in 0..<100 { bomb += text("\(part)") + [0x68, UInt8(level - 1), 0x73] }
    }
    refused(bomb + [0x2E])
  }

  @Test func refusesArchivesThatAreNone() {
    func refused(_ bytes: [UInt8], _ kind: WeightError.Kind) {
      let error = weightError { _ = try opened(bytes) }
      #expect(error?.kind == kind, "\(error?.description ?? "")")
    }
    refused([1, 2, 3], .unsupportedFormat)
    refused(Array("version https://git-lfs.github.com/spec/v1\n".utf8), .unsupportedFormat)
    refused(archive(pickle(), method: 8), .unsupportedFormat)
    refused(archive(pickle(), more: [("other/data.pkl", [0x2E])]), .archive)
    refused(archive(pickle(), more: [("archive/byteorder", Array("big".utf8))]), .unsupportedFormat)
    refused(archive(pickle(key: "1")), .byteRange)
    refused(archive(pickle(key: "../data.pkl")), .byteRange)
    refused(Array(archive(pickle()).dropLast(30)), .archive)
    refused([0x50, 0x4B, 3, 4] + archive(pickle()), .archive)
    var bytes = archive(pickle())
    for at in bytes.count - 22..<bytes.count {  // every field of the record at the end
      let old = bytes[at]
      bytes[at] = 0xFF
      if (4..<8).contains(at - bytes.count + 22) || (8..<10).contains(at - bytes.count + 22) {
        #expect(!isRefused(bytes), "numbers of disks")
      } else {
        refused(bytes, .archive)
      }
      bytes[at] = old
    }
  }
}

private func bytes<Element: BitwiseCopyable>(_ values: [Element]) -> [UInt8] {
  values.withUnsafeBytes { Array($0) }
}
