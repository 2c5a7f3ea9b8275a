import VTokImage
import VTokLibC
import VTokTensor

/// How calibration varies its pictures: a random resized crop, a flip, mixup.
///
/// Left out of the recipe of DeiT that the official code uses: RandAugment, random erasing, CutMix, repeated augmentation and
/// stochastic depth. They keep millions of weights from learning pictures by heart; here nothing but some hundred logits is
/// learned, and crops closer to what the network will see tell more about it.
public struct Augmentation: Sendable, Equatable {
  /// Smallest share of the picture's area in a crop; 1 takes the picture as the model's own processor prepares it.
  public var smallestCrop = 0.35
  /// Whether every other picture is mirrored.
  public var flips = true
  /// Both parameters of the beta distribution of mixup's weights; 0 mixes nothing.
  public var mixup = 0.0

  public init() {}

  /// One variation of a picture, at the size of the model's input. `[3, height, width]`
  func callAsFunction(
    _ image: Image, to size: Size, processor: ImageProcessor, _ generator: inout SeededGenerator
  ) -> Tensor {
    var picture: Image
    if smallestCrop < 1 {
      let (x, y, part) = crop(of: image.size, &generator)
      picture = image.cropped(x: x, y: y, width: part.width, height: part.height)
        .resized(width: size.width, height: size.height, filter: processor.filter)
    } else {
      picture = processor.prepare(image)
      if picture.size != size {
        picture = picture.resized(width: size.width, height: size.height, filter: processor.filter)
      }
    }
    if flips, generator.uniform() < 0.5 { picture = picture.oriented(2) }
    return processor.normalise(picture)
  }

  /// As torchvision's `RandomResizedCrop`: area uniform, aspect ratio from 3:4 to 4:3 uniform in its logarithm, ten tries, else
  /// the centre.
  private func crop(of size: Size, _ generator: inout SeededGenerator) -> (x: Int, y: Int, size: Size) {
    func uniform(_ low: Double, _ high: Double) -> Double { low + (high - low) * Double(generator.uniform()) }
    let limit = log(4.0 / 3.0)
    for _ in 0..<10 {
      let area = Double(size.width * size.height) * uniform(smallestCrop, 1)
      let ratio = exp(uniform(-limit, limit))
      let width = Int((area * ratio).squareRoot().rounded())
      let height = Int((area / ratio).squareRoot().rounded())
      guard (1...size.width).contains(width), (1...size.height).contains(height) else { continue }
      let x = Int(uniform(0, Double(size.width - width + 1)))
      let y = Int(uniform(0, Double(size.height - height + 1)))
      return (min(x, size.width - width), min(y, size.height - height), Size(width: width, height: height))
    }
    let width = min(size.width, max(1, Int(Double(size.height) * 4 / 3)))
    let height = min(size.height, max(1, Int(Double(size.width) * 4 / 3)))
    return ((size.width - width) / 2, (size.height - height) / 2, Size(width: width, height: height))
  }

  /// Weight of an image against its partner for a whole batch: Beta(mixup, mixup) by Johnk's method.
  func mixWeight(_ generator: inout SeededGenerator) -> Float {
    guard mixup > 0 else { return 1 }
    while true {
      let a = pow(Double(generator.uniform()), 1 / mixup)
      let b = pow(Double(generator.uniform()), 1 / mixup)
      if a + b > 0, a + b <= 1 { return Float(a / (a + b)) }
    }
  }
}
