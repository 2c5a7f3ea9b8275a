import VTokCore
import VTokImage

/// Which patches of an image every token stands for, and where the patch grid lies on the image.
public struct TokenMap: Sendable {
  /// Patch grid.
  public let rows: Int, columns: Int
  /// The part of the image that the grid covers, in pixels.
  public let region: ImageProcessor.Region
  /// Patches of every token.
  public let origin: Origin

  public init(rows: Int, columns: Int, region: ImageProcessor.Region, origin: Origin) {
    self.rows = rows
    self.columns = columns
    self.region = region
    self.origin = origin
  }

  /// How many there are.
  public var tokens: Int { max(0, origin.offsets.count - 1) }

  /// The token each patch went to (the one with most of it, where several have a share); -1 for pruned patches.
  public var owners: [Int] {
    var owner = [Int](repeating: -1, count: rows * columns)
    var share = [Float](repeating: 0, count: rows * columns)
    for token in 0..<origin.offsets.count - 1 {
      for entry in origin.range(token) {
        let patch = Int(origin.patches[entry])
        if patch < owner.count, origin.weights[entry] > share[patch] {
          (owner[patch], share[patch]) = (token, origin.weights[entry])
        }
      }
    }
    return owner
  }

  /// How the patches of a merged token are told from others.
  public enum Colours: String, Sendable, CaseIterable {
    /// By the mean colour of their pixels, as ToMe's authors draw them.
    case mean
    /// By a colour of their own, mixed in: tells apart what looks alike.
    case tint
  }

  /// The image with its tokens drawn in: pruned patches dimmed, patches merged into one token in one colour, tokens outlined,
  /// and what the model never saw (cropped away) nearly black. The longer side becomes 448 to 896 pixels.
  public func drawn(on image: Image, _ colours: Colours = .mean) -> Image {
    let longest = max(image.width, image.height)
    let scale = Double(min(max(longest, 448), 896)) / Double(longest)
    let width = max(1, Int((Double(image.width) * scale).rounded()))
    let height = max(1, Int((Double(image.height) * scale).rounded()))
    var canvas = image.resized(width: width, height: height, filter: .bicubic)
    let places = places(width: width, height: height, scale: scale)
    let merged = mergedColours(places, canvas, colours)
    canvas.rgb.withUnsafeMutableBufferPointer { pixels in
      for y in 0..<height {
        for x in 0..<width {
          let index = y * width + x
          let token = places[index]
          let isEdge =
            (x + 1 < width && places[index + 1] != token) || (y + 1 < height && places[index + width] != token)
          let luma =
            (Double(pixels[3 * index]) * 0.299 + Double(pixels[3 * index + 1]) * 0.587
              + Double(pixels[3 * index + 2]) * 0.114)
          for channel in 0..<3 {
            var value = Double(pixels[3 * index + channel])
            if token == Self.unseen {
              value = luma * 0.12
            } else if token < 0 {
              value = luma * 0.28 + 10
            } else {
              if let colour = merged[token] { value += (colour[channel] - value) * (colours == .mean ? 1 : 0.42) }
              if isEdge { value = value * 0.25 + 255 * 0.75 }
            }
            pixels[3 * index + channel] = UInt8(min(max(value, 0), 255))
          }
        }
      }
    }
    return canvas
  }

  /// Stands for the token of a pixel outside the grid.
  private static let unseen = -2

  /// The token of every pixel of the drawn image; -1 for pruned patches, `unseen` outside the grid.
  private func places(width: Int, height: Int, scale: Double) -> [Int] {
    let owners = owners
    // Cell of every pixel column and row; -1 outside the grid.
    func cells(_ count: Int, _ start: Double, _ length: Double, _ parts: Int) -> [Int] {
      (0..<count).map { pixel in
        let place = ((Double(pixel) + 0.5) / scale - start) / length * Double(parts)
        return place >= 0 && place < Double(parts) ? Int(place) : -1
      }
    }
    let across = cells(width, region.x, region.width, columns)
    let down = cells(height, region.y, region.height, rows)
    return (0..<width * height).map { index in
      let (row, column) = (down[index / width], across[index % width])
      return row >= 0 && column >= 0 ? owners[row * columns + column] : Self.unseen
    }
  }

  /// Of every token of several patches the colour that they get; nil for others.
  private func mergedColours(_ places: [Int], _ canvas: Image, _ colours: Colours) -> [[Double]?] {
    let count = tokens
    var patches = [Int](repeating: 0, count: count)
    for owner in owners where owner >= 0 { patches[owner] += 1 }
    if colours == .tint { return (0..<count).map { patches[$0] > 1 ? Self.tint($0) : nil } }
    var (sums, pixels) = ([Double](repeating: 0, count: 3 * count), [Double](repeating: 0, count: count))
    for (index, token) in places.enumerated() where token >= 0 {
      pixels[token] += 1
      for channel in 0..<3 { sums[3 * token + channel] += Double(canvas.rgb[3 * index + channel]) }
    }
    return (0..<count).map { token in
      patches[token] > 1 && pixels[token] > 0 ? (0..<3).map { sums[3 * token + $0] / pixels[token] } : nil
    }
  }

  /// A colour per token, neighbours in number far apart in hue (golden angle).
  private static func tint(_ token: Int) -> [Double] {
    let hue = (Double(token) * 0.618_033_988_75).truncatingRemainder(dividingBy: 1) * 6
    let x = 1 - abs(hue.truncatingRemainder(dividingBy: 2) - 1)
    let rgb: [Double]
    switch Int(hue) {
    case 0: rgb = [1, x, 0]
    case 1: rgb = [x, 1, 0]
    case 2: rgb = [0, 1, x]
    case 3: rgb = [0, x, 1]
    case 4: rgb = [x, 0, 1]
    default: rgb = [1, 0, x]
    }
    return rgb.map { $0 * 255 }
  }

  /// Pictures side by side with a thin gap, stages of one image from left to right; or under each other.
  public static func strip(_ images: [Image], gap: Int = 6, downwards: Bool = false) -> Image {
    precondition(!images.isEmpty)
    let gaps = gap * (images.count - 1)
    let (widths, heights) = (images.map(\.width), images.map(\.height))
    let width = downwards ? widths.max()! : widths.reduce(gaps, +)
    let height = downwards ? heights.reduce(gaps, +) : heights.max()!
    var rgb = [UInt8](repeating: 255, count: width * height * 3)
    var (left, top) = (0, 0)
    for image in images {
      for y in 0..<image.height {
        let (from, to) = (y * image.width * 3, ((top + y) * width + left) * 3)
        rgb.replaceSubrange(to..<to + image.width * 3, with: image.rgb[from..<from + image.width * 3])
      }
      if downwards { top += image.height + gap } else { left += image.width + gap }
    }
    return Image(width: width, height: height, rgb: rgb)
  }
}
