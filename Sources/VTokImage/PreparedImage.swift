import VTokTensor

/// One image as the tower of a vision-language model takes it: what an image processor makes of a picture.
public struct PreparedImage: Sendable, Equatable {
  /// Normalised pixels `[3, height, width]` of every tile, in the order of the model's own processor. LLaVA-1.5: the
  /// image. LLaVA-NeXT: the thumbnail, then the tiles row by row. Idefics3: the tiles row by row, then the whole image.
  /// Qwen-VL has one tile, already cut: `[rows * columns, 3 * frames * patch * patch]`, each row as (channel, frame, y,
  /// x), the patches of one merged cell behind each other.
  public let tiles: [Tensor]
  /// Tiles that the picture was cut into, without thumbnail or whole image; 0 x 0: it was not cut. Qwen-VL: its grid of
  /// patches.
  public let rows: Int, columns: Int
  /// Size of the picture before any processing, in pixels.
  public let original: Size
  /// The part of every tile that shows the picture, from the top left corner; what lies outside is padding and masked.
  /// nil: all of every tile.
  public let visible: [Size]?
  /// Whether the tiles are frames of a video, in their order.
  public let isVideo: Bool
  /// Of a video: when each tile is shown, in seconds, and how many seconds it stands for.
  public let seconds: [Double], pace: Double
  /// Whether the picture was padded to a square, itself in the middle.
  public let isSquared: Bool
  /// Of every channel: its pixels in 0...1 are `value * std + mean`.
  public let mean: [Float], std: [Float]

  /// - Precondition: there is a tile, and `visible` has one size per tile.
  public init(
    tiles: [Tensor], rows: Int = 0, columns: Int = 0, original: Size, visible: [Size]? = nil, isVideo: Bool = false,
    seconds: [Double] = [], pace: Double = 0, isSquared: Bool = false, mean: [Float] = [0.5, 0.5, 0.5],
    std: [Float] = [0.5, 0.5, 0.5]
  ) {
    precondition(!tiles.isEmpty && (visible == nil || visible!.count == tiles.count))
    self.tiles = tiles
    self.rows = rows
    self.columns = columns
    self.original = original
    self.visible = visible
    self.isVideo = isVideo
    self.seconds = seconds
    self.pace = pace
    self.isSquared = isSquared
    self.mean = mean
    self.std = std
  }
}

extension PreparedImage {
  /// The pixels of every patch of a picture that is cut already, in 0...1, the first of `frames` equal frames.
  /// `[patches, 3 * patch * patch]`
  package func patchPixels(frames: Int) -> Tensor {
    let patches = tiles[0]
    let plane = patches.width / 3 / frames
    return Tensor(shape: [patches.rows, 3 * plane]) { out in
      for row in 0..<patches.rows {
        for channel in 0..<3 {
          let from = row * patches.width + channel * frames * plane
          for index in 0..<plane {
            out[(row * 3 + channel) * plane + index] = patches.values[from + index] * std[channel] + mean[channel]
          }
        }
      }
    }
  }
}
