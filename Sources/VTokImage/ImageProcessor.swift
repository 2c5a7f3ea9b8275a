import VTokTensor

/// What an official image processor does between the decoded picture and the model's input, as data: pad, resize, crop,
/// rescale, normalise. Equal to timm's evaluation transform and to the Pillow-backed Hugging Face processors byte for
/// byte up to the crop, and within one float32 rounding after it.
public struct ImageProcessor: Sendable, Equatable {
  public enum Resize: Sendable, Equatable {
    case none
    /// The short side becomes this, the long one `Int(short * long / short)`, truncated (torchvision, Hugging Face).
    case shortestEdge(Int)
    /// Both sides as given, whatever happens to the aspect ratio.
    case exact(width: Int, height: Int)
    /// The smallest size of the same aspect ratio that covers this one, sides rounded half to even
    /// (timm's `ResizeKeepRatio`, which it takes for inputs that are not square).
    case covering(width: Int, height: Int)
    /// The short side becomes this, the long one in proportion, rounded half to even. A picture whose short side is at least
    /// twice as long is halved by averaging first, as often as it goes, each time to bytes (the centre crop of guided diffusion,
    /// `center_crop_arr`).
    case halvingToShortestEdge(Int)
    /// About the same aspect ratio, in whole patches of `side` pixels, as many of them as `most` allows; smaller pictures are
    /// enlarged (NaFlex, SigLIP 2).
    case patches(side: Int, most: Int)
  }

  /// Where the odd pixel of a centre crop goes.
  public enum CropRounding: String, Sendable {
    /// `(size - crop) // 2`, Hugging Face.
    case floor
    /// `round((size - crop) / 2)`, half to even, timm and torchvision.
    case halfEven
  }

  /// A rectangle in pixels that need not be whole, from the top left corner of the picture.
  public struct Region: Sendable, Equatable {
    public var x: Double
    public var y: Double
    public var width: Double
    public var height: Double

    public init(x: Double, y: Double, width: Double, height: Double) {
      self.x = x
      self.y = y
      self.width = width
      self.height = height
    }
  }

  /// Whether all pictures come out at one size.
  public var hasOneSize: Bool {
    if crop != nil { return true }
    if case .exact = resize { return true }
    return false
  }

  /// Colour of the square that the picture is centred on before all else, `[3]`; `nil` for none. LLaVA's "pad".
  public var padToSquare: [UInt8]?
  public var resize: Resize
  public var filter: Resample
  public var passes = PassOrder.rowsFirst
  /// Size of the centre crop after the resize; `nil` for none. Black where the picture is smaller.
  public var crop: Size?
  public var cropRounding: CropRounding
  /// Whether samples are whole numbers until they are rescaled, as Pillow has them; else they are rescaled first and resized
  /// in float32 (DINOv3).
  public var roundsSamples = true
  /// Factor from a sample 0...255 to what `mean` and `std` are about.
  public var rescale: Double
  /// Subtracted after rescaling, `[3]`.
  public var mean: [Float]
  /// Divided by after that, `[3]`.
  public var std: [Float]

  /// - Precondition: `mean`, `std` and `padToSquare` have three values and all sides are at least 1.
  public init(
    padToSquare: [UInt8]? = nil, resize: Resize, filter: Resample, crop: Size? = nil,
    cropRounding: CropRounding = .floor, rescale: Double = 1 / 255, mean: [Float] = [0.5, 0.5, 0.5],
    std: [Float] = [0.5, 0.5, 0.5]
  ) {
    precondition(mean.count == 3 && std.count == 3 && (padToSquare ?? mean.map { _ in 0 }).count == 3)
    self.padToSquare = padToSquare
    self.resize = resize
    self.filter = filter
    self.crop = crop
    self.cropRounding = cropRounding
    self.rescale = rescale
    self.mean = mean
    self.std = std
  }

  /// timm's evaluation transform (`create_transform(is_training=False)`): resize to `floor(inputSize / cropPct)`, then
  /// crop the centre.
  public static func timm(
    inputSize: Size, cropPct: Double, cropMode: CropMode = .center, filter: Resample = .bicubic,
    mean: [Float] = imagenetMean, std: [Float] = imagenetStd
  ) -> ImageProcessor {
    let width = Int((Double(inputSize.width) / cropPct).rounded(.down))
    let height = Int((Double(inputSize.height) / cropPct).rounded(.down))
    let resize: Resize =
      switch cropMode {
      case .squash: .exact(width: width, height: height)
      case .center: width == height ? .shortestEdge(width) : .covering(width: width, height: height)
      }
    return ImageProcessor(
      resize: resize, filter: filter, crop: inputSize, cropRounding: .halfEven, mean: mean, std: std)
  }

  /// `crop_mode` of a timm configuration. Its third, "border", is not built.
  public enum CropMode: String, Sendable, CaseIterable {
    case center, squash
  }

  public static let imagenetMean: [Float] = [0.485, 0.456, 0.406]
  public static let imagenetStd: [Float] = [0.229, 0.224, 0.225]
  public static let clipMean: [Float] = [0.48145466, 0.4578275, 0.40821073]
  public static let clipStd: [Float] = [0.26862954, 0.26130258, 0.27577711]
}

// MARK: Pixels

extension ImageProcessor {
  /// The model's input `[3, height, width]`.
  public func callAsFunction(_ image: Image) -> Tensor {
    roundsSamples ? normalise(prepare(image)) : resizedInFloat(image)
  }

  /// Pad, resize and crop, all in bytes.
  public func prepare(_ image: Image) -> Image {
    let image = halved(image)
    let canvas = padToSquare.map { Canvas(square: image.size, colour: $0) } ?? Canvas(image)
    let plan = plan(image.size)
    let columns = max(plan.x, 0)..<min(plan.x + plan.crop.width, plan.resized.width)
    let rows = max(plan.y, 0)..<min(plan.y + plan.crop.height, plan.resized.height)
    let part = image.resized(on: canvas, to: plan.resized, columns: columns, rows: rows, filter: filter, passes: passes)
    guard part.size != plan.crop else { return part }
    return part.cropped(
      x: min(plan.x, 0), y: min(plan.y, 0), width: plan.crop.width, height: plan.crop.height)
  }

  private func halved(_ image: Image) -> Image {
    guard case .halvingToShortestEdge(let edge) = resize else { return image }
    precondition(padToSquare == nil, "pictures that are halved are not padded first")
    return Self.halvings(of: image.size, edge: edge).reduce(image) {
      $0.resized(width: $1.width, height: $1.height, filter: .box, passes: passes)
    }
  }

  /// Rescale and normalise a prepared picture: `(sample * rescale - mean) / std` in float32. `[3, height, width]`
  public func normalise(_ image: Image) -> Tensor {
    let count = image.width * image.height
    return Tensor(shape: [3, image.height, image.width]) { out in
      image.rgb.withUnsafeBufferPointer { rgb in
        for channel in 0..<3 {
          // A sample has 256 values, so a table has the same results as arithmetic on every pixel.
          let table = (0...255).map { (Float(Double($0) * rescale) - mean[channel]) / std[channel] }
          let plane = out + channel * count
          table.withUnsafeBufferPointer { table in
            for i in 0..<count { plane[i] = table[Int(rgb[i * 3 + channel])] }
          }
        }
      }
    }
  }
}

// MARK: Geometry

extension ImageProcessor {
  /// Size of the prepared picture, and so of the model's input, for an original of `width x height` pixels.
  public func preparedSize(width: Int, height: Int) -> Size { plan(Size(width: width, height: height)).crop }

  /// The part of an original of `width x height` pixels that the prepared picture shows, in the original's pixels. It
  /// reaches beyond the original where the processor pads. Token maps are drawn there.
  public func visibleRegion(width: Int, height: Int) -> Region {
    let size = Size(width: width, height: height)
    let plan = plan(size)
    let across = Double(plan.canvas.width) / Double(plan.resized.width)
    let down = Double(plan.canvas.height) / Double(plan.resized.height)
    return Region(
      x: Double(plan.x) * across - Double((plan.canvas.width - width) / 2),
      y: Double(plan.y) * down - Double((plan.canvas.height - height) / 2),
      width: Double(plan.crop.width) * across, height: Double(plan.crop.height) * down)
  }

  /// Sizes along the way: `canvas` to `resized`, of which the rectangle of size `crop` at `(x, y)` is kept.
  func plan(_ size: Size) -> (canvas: Size, resized: Size, crop: Size, x: Int, y: Int) {
    let canvas = padToSquare == nil ? size : Size(max(size.width, size.height))
    let resized = resizedSize(canvas)
    let crop = crop ?? resized
    return (canvas, resized, crop, offset(resized.width, crop.width), offset(resized.height, crop.height))
  }

  private func resizedSize(_ size: Size) -> Size {
    switch resize {
    case .none: return size
    case .exact(let width, let height): return Size(width: width, height: height)
    case .shortestEdge(let edge):
      let (short, long) = (min(size.width, size.height), max(size.width, size.height))
      let other = Int(Double(edge * long) / Double(short))
      return size.width <= size.height ? Size(width: edge, height: other) : Size(width: other, height: edge)
    case .covering(let width, let height):
      let ratio = min(Double(size.width) / Double(width), Double(size.height) / Double(height))
      return Size(
        width: Int((Double(size.width) / ratio).rounded(.toNearestOrEven)),
        height: Int((Double(size.height) / ratio).rounded(.toNearestOrEven)))
    case .halvingToShortestEdge(let edge):
      let size = Self.halvings(of: size, edge: edge).last ?? size
      let scale = Double(edge) / Double(min(size.width, size.height))
      return Size(
        width: Int((Double(size.width) * scale).rounded(.toNearestOrEven)),
        height: Int((Double(size.height) * scale).rounded(.toNearestOrEven)))
    case .patches(let side, let most): return Self.whole(size, patch: side, most: most)
    }
  }

  /// The sizes that a picture goes through while its short side is at least twice `edge`.
  private static func halvings(of size: Size, edge: Int) -> [Size] {
    var (sizes, size) = ([Size](), size)
    while min(size.width, size.height) >= 2 * edge {
      size = Size(width: size.width / 2, height: size.height / 2)
      sizes.append(size)
    }
    return sizes
  }

  /// The size in whole patches whose factor is the largest that keeps to the limit, by bisection as transformers has it
  /// (`get_image_size_for_max_num_patches`).
  private static func whole(_ size: Size, patch: Int, most: Int) -> Size {
    func side(_ length: Int, _ factor: Double) -> Int {
      max(1, Int((Double(length) * factor / Double(patch)).rounded(.up)))
    }
    var (low, high) = (1e-6, 100.0)
    while high - low >= 1e-5 {
      let middle = (low + high) / 2
      if side(size.height, middle) * side(size.width, middle) <= most { low = middle } else { high = middle }
    }
    return Size(width: side(size.width, low) * patch, height: side(size.height, low) * patch)
  }

  /// Where a centre crop starts. Negative where the picture is smaller: then it is the margin before it, which
  /// torchvision rounds down and Hugging Face up.
  private func offset(_ size: Int, _ crop: Int) -> Int {
    let room = size - crop
    switch cropRounding {
    case .halfEven where room >= 0: return Int((Double(room) / 2).rounded(.toNearestOrEven))
    case .halfEven: return -(-room / 2)
    case .floor: return room >> 1
    }
  }
}
