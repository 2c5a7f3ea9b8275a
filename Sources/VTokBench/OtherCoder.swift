import VTokData
import VTokFiles
import VTokImage
import VTokImageTokenizers
import VTokWeights

/// Reconstructions that another program made of the squares of `TokenizerBench`, so that its rows are judged as all are.
///
/// A folder holds `coders.json`, a list of
/// `{"coder": "webp", "setting": "q20", "scale": 1, "folder": "webp-q20", "pictures": {"a.jpg": {"bytes": 812,
/// "encode_ms": 9.1, "decode_ms": 1.2}}}`, and for each the pictures as `<folder>/<name>.png`.
public struct OtherCoder: Sendable, Equatable {
  public struct Picture: Sendable, Equatable {
    public let bytes: Int
    /// Milliseconds.
    public let encode: Double, decode: Double
  }

  public let name: String, setting: String
  /// The coder saw the picture with so many times shorter sides.
  public let scale: Int
  /// Path of the folder with the pictures.
  let folder: String
  let pictures: [String: Picture]

  /// All coders of a folder.
  /// - Throws: `DataError`.
  public static func load(_ folder: String) throws(DataError) -> [OtherCoder] {
    let path = folder + "/coders.json"
    func refuse(_ found: String) -> DataError {
      .coders(file: path, found: found, expected: "a list of coders as Benchmarks/webp.py writes it")
    }
    let there: [UInt8]?
    do throws(SystemError) { there = try FileBytes.readIfThere(path) } catch { throw refuse(error.reason) }
    guard let bytes = there else { throw refuse("no such file") }
    guard let json = try? JSON(parsing: bytes), let items = json.array else { throw refuse("no JSON list") }
    var coders: [OtherCoder] = []
    for item in items {
      guard let name = item["coder"]?.string, let setting = item["setting"]?.string, let scale = item["scale"]?.int,
        let sub = item["folder"]?.string, let pictures = item["pictures"]?.object, scale > 0
      else { throw refuse("entry \(coders.count) without coder, setting, scale, folder or pictures") }
      var known: [String: Picture] = [:]
      for (key, value) in pictures {
        guard let bytes = value["bytes"]?.int, let encode = value["encode_ms"]?.double,
          let decode = value["decode_ms"]?.double, bytes > 0
        else { throw refuse("'\(key)' of \(name) without bytes and times") }
        known[key] = Picture(bytes: bytes, encode: encode, decode: decode)
      }
      coders.append(
        OtherCoder(
          name: name, setting: setting, scale: scale, folder: folder + "/" + OutputNames.cleaned(sub), pictures: known))
    }
    return coders
  }

  /// What it made of a picture, which must have the size of the original.
  /// - Throws: `DataError` for one it does not have.
  func callAsFunction(_ name: String, side: Int) throws(DataError) -> (Picture, Image) {
    let path = folder + "/" + OutputNames.cleaned(name) + ".png"
    func refuse(_ found: String) -> DataError {
      .coders(file: path, found: found, expected: "the picture of \(self.name) at \(setting), \(side)x\(side)")
    }
    guard let picture = pictures[name] else { throw refuse("nothing about '\(name)' in coders.json") }
    let image: Image
    do throws(ImageError) { image = try Image.decode(contentsOf: path).image } catch { throw refuse(error.message) }
    guard image.size == Size(side) else { throw refuse("a picture of \(image.size)") }
    return (picture, image)
  }
}
