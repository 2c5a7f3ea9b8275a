import CVTokImage

/// A plain canvas on which a picture lies whole, without making it: a 65535 x 1 picture padded to a square would
/// need 13 GB.
struct Canvas {
  var size: Size
  /// Where the picture's top left pixel lies.
  var x = 0
  var y = 0
  var colour: [UInt8] = [0, 0, 0]

  /// No canvas beyond the picture.
  init(_ image: Image) { size = image.size }

  /// A square of the longer side with the picture centred by floor division, as LLaVA's `expand2square`.
  init(square size: Size, colour: [UInt8]) {
    precondition(colour.count == 3, "a colour has 3 samples, not \(colour.count)")
    let side = max(size.width, size.height)
    self.size = Size(side)
    x = (side - size.width) / 2
    y = (side - size.height) / 2
    self.colour = colour
  }

  var transposed: Canvas {
    var canvas = self
    (canvas.size, canvas.x, canvas.y) = (size.transposed, y, x)
    return canvas
  }
}

/// Which axis a resize takes first. The result is rounded to bytes between the two, so that the order shows: by up to
/// tens of levels where a picture is noise.
public enum PassOrder: Sendable, Equatable {
  /// Along the rows, then down the columns: Pillow up to 12, with which published accuracies were measured.
  case rowsFirst
  /// Pillow 13: down the columns first where the height shrinks by more than twice as many pixels as the width.
  case cheaperFirst

  func columnsFirst(from old: Size, to new: Size) -> Bool {
    let down = old.height - new.height
    return self == .cheaperFirst && down > 0 && down > 2 * (old.width - new.width)
  }
}

extension Image {
  /// The picture at another size, equal byte for byte to Pillow's `Image.resize`: along one axis into bytes, then along
  /// the other. Axes whose size does not change are left alone.
  ///
  /// - Precondition: both sides are at least 1.
  public func resized(width: Int, height: Int, filter: Resample, passes: PassOrder = .rowsFirst) -> Image {
    let size = Size(width: width, height: height)
    return resized(on: Canvas(self), to: size, columns: 0..<width, rows: 0..<height, filter: filter, passes: passes)
  }

  /// The `columns` and `rows` of what a resize of the canvas to `size` would give. Pixels outside are not computed: the
  /// whole may be hundreds of times the part where a picture is long and thin.
  func resized(
    on canvas: Canvas, to size: Size, columns: Range<Int>, rows: Range<Int>, filter: Resample,
    passes: PassOrder = .rowsFirst
  ) -> Image {
    if passes.columnsFirst(from: canvas.size, to: size) {
      let turned = transposed().resized(
        on: canvas.transposed, to: size.transposed, columns: rows, rows: columns, filter: filter)
      return turned.transposed()
    }
    let across = AxisWeights(from: canvas.size.width, to: size.width, window: columns, filter: filter)
    let down = AxisWeights(from: canvas.size.height, to: size.height, window: rows, filter: filter)
    let inputs = down.inputs
    let narrow = resizedRows(of: canvas, inputs, across)  // [inputs, columns, 3]
    let rowBytes = columns.count * 3
    let count = rows.count * rowBytes
    let rgb = [UInt8](unsafeUninitializedCapacity: count) { out, initialized in
      narrow.withUnsafeBufferPointer { narrow in
        down.weights.withUnsafeBufferPointer { weights in
          for row in 0..<rows.count {
            let first = narrow.baseAddress! + (Int(down.first[row]) - inputs.lowerBound) * rowBytes
            vtok_resize_column(
              first, rowBytes, weights.baseAddress! + row * down.stride, down.taps[row],
              out.baseAddress! + row * rowBytes)
          }
        }
      }
      initialized = count
    }
    return Image(width: columns.count, height: rows.count, rgb: rgb)
  }

  /// Rows `rows` of the canvas, each taken to the outputs of `across`. `[rows, outputs, 3]`
  private func resizedRows(of canvas: Canvas, _ rows: Range<Int>, _ across: AxisWeights) -> [UInt8] {
    let rowBytes = across.first.count * 3
    let padded = canvas.size.width != width
    // A row of nothing but canvas, and what becomes of it. Only outputs that see the picture differ from that.
    var row = padded || canvas.size.height != height ? Image.row(canvas.size.width, canvas.colour) : []
    var plain = [UInt8](repeating: 0, count: rowBytes)
    if !row.isEmpty {
      vtok_resize_row(
        row, across.first, across.taps, across.weights, across.stride, 0, across.first.count, &plain)
    }
    let seen = padded ? across.outputs(touching: canvas.x..<canvas.x + width) : across.first.indices
    let count = rows.count * rowBytes
    return [UInt8](unsafeUninitializedCapacity: count) { out, initialized in
      for (index, y) in rows.enumerated() {
        let to = out.baseAddress! + index * rowBytes
        let inside = (canvas.y..<canvas.y + height).contains(y)
        if padded || !inside { to.update(from: plain, count: rowBytes) }
        guard inside else { continue }
        rgb.withUnsafeBufferPointer { source in
          let pixels = source.baseAddress! + (y - canvas.y) * width * 3
          func resize(_ from: UnsafePointer<UInt8>) {
            vtok_resize_row(
              from, across.first, across.taps, across.weights, across.stride, seen.lowerBound, seen.upperBound, to)
          }
          guard padded else { return resize(pixels) }
          row.withUnsafeMutableBufferPointer {
            ($0.baseAddress! + canvas.x * 3).update(from: pixels, count: width * 3)
            resize($0.baseAddress!)
          }
        }
      }
      initialized = count
    }
  }

  /// One row of `colour`. `[width, 3]`
  private static func row(_ width: Int, _ colour: [UInt8]) -> [UInt8] {
    Image(width: width, height: 1, colour: colour).rgb
  }
}
