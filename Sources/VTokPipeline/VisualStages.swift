import VTokCore
import VTokEval
import VTokImage
import VTokModels

/// What is left of one picture behind a stage of an answer.
public struct VisualStage: Sendable {
  /// Method and place, for example `fastv entering layer 2`.
  public let name: String
  /// Tokens that stand for patches of the picture.
  public let tokens: Int
  /// Rows of the visual spans that stand for none: newlines, class tokens.
  public let others: Int
  /// The tiles as one grid, then the thumbnail; one of them where the picture is a single tile.
  public let maps: [TokenMap]

  /// The maps drawn on the picture, under each other.
  public func drawn(on image: Image, _ colours: TokenMap.Colours = .mean) -> Image {
    TokenMap.strip(maps.map { $0.drawn(on: image, colours) }, downwards: true)
  }
}

/// At most so many of them, evenly chosen; the last is always there.
private func chosen<Stage>(_ stages: [Stage], _ most: Int) -> [Stage] {
  let count = min(most, stages.count)
  return (1...max(count, 1)).map { stages[$0 * stages.count / count - 1] }
}

extension PrunedImage {
  /// A map of every stage that changed something, at most so many; the last is always the result.
  /// - Precondition: it was made with its notes kept.
  public func stageMaps(most: Int) -> [TokenMap] {
    let acts = trace.acts.filter { $0.input != $0.output && !$0.origins.isEmpty }
    guard acts.count > 1 else { return [map] }
    return chosen(acts, most).dropLast().map {
      TokenMap(rows: rows, columns: columns, region: region, origin: $0.origins[0])
    } + [map]
  }
}

extension Generator {
  /// Of every picture its stages, at most so many; that before any method where none changed anything.
  public func shownStages(of answer: Answer, to prompt: Prompt, most: Int) -> [[VisualStage]] {
    zip(stages(of: answer, to: prompt), undisturbed(prompt)).map { chosen($0.isEmpty ? [$1] : $0, most) }
  }

  /// The stages at which methods changed what stands for a picture, first to last: in the tower, behind it, packing, entering
  /// a layer, and the cache of the last layer once the prompt is read. Later steps are left out.
  /// - Parameters:
  ///   - answer: of this generator, with its notes kept.
  ///   - prompt: what it answers.
  /// - Returns: of every picture its stages.
  public func stages(of answer: Answer, to prompt: Prompt) -> [[VisualStage]] {
    let grids = grids(of: prompt)
    return grids.map { stages(answer.table.trace, $0, isAlone: grids.count == 1) }
  }

  private func grids(of prompt: Prompt) -> [PatchGrid] {
    var first = 0
    return prompt.images.map { image in
      let grid = PatchGrid(image, outline.geometry!, processor, first: first)
      first += grid.patches
      return grid
    }
  }

  private func stages(_ trace: Trace, _ grid: PatchGrid, isAlone: Bool) -> [VisualStage] {
    var stages: [VisualStage] = []
    var seen: Set<String> = []
    var last = grid.dense
    for act in trace.acts {
      if case .cache(let layer) = act.site, layer < outline.shape.decoder!.layers - 1 { continue }
      let left = grid.own(act.origins)
      let name = "\(act.method) \(act.site.place)"
      // Tower and packing pass picture by picture; a picture that is passing has patches of its own there.
      guard act.site.isLanguage || left.offsets.count > 1, seen.insert(name).inserted else { continue }
      // Another order of the same tokens is no change.
      if left.offsets.count == last.offsets.count, Set(left.patches) == Set(last.patches) { continue }
      last = left
      stages.append(
        VisualStage(
          name: name, tokens: left.offsets.count - 1, others: others(act, in: trace, standing: left, isAlone: isAlone),
          maps: grid.maps(left)))
    }
    return stages
  }

  /// Rows of the visual spans that stand for no patch behind an act: known where it packs the spans, and of a prompt with one
  /// picture in the language model.
  private func others(_ act: Trace.Act, in trace: Trace, standing: Origin, isAlone: Bool) -> Int {
    switch act.site {
    case .pack:
      act.output
        - act.origins.reduce(0) { sum, origin in
          sum + (0..<origin.offsets.count - 1).count { !origin.range($0).isEmpty }
        }
    case .layer(let layer) where layer < outline.shape.decoder!.layers && isAlone:
      max(0, trace.language[layer].visual - (standing.offsets.count - 1))
    case .patches, .block, .features, .layer, .cache: 0
    }
  }

  /// A picture before any method: every patch a token.
  public func undisturbed(_ prompt: Prompt) -> [VisualStage] {
    prompt.images.map { image in
      let grid = PatchGrid(image, outline.geometry!, processor, first: 0)
      return VisualStage(name: "dense", tokens: grid.patches, others: 0, maps: grid.maps(grid.dense))
    }
  }
}

extension Site {
  fileprivate var isLanguage: Bool {
    switch self {
    case .patches, .block, .features, .pack: false
    case .layer, .cache: true
    }
  }

  /// For people.
  fileprivate var place: String {
    switch self {
    case .patches: "before block 0"
    case .block(let index, .middle): "inside block \(index)"
    case .block(let index, .end): "behind block \(index)"
    case .features: "behind the tower"
    case .pack: "packing"
    case .layer(let index): "entering layer \(index)"
    case .cache: "on the KV cache"
    }
  }
}

/// The patches of one picture among those of a prompt, and where they lie on it.
private struct PatchGrid {
  let patches: Int
  private let first: Int
  /// Patches of a tile, and tiles, each down and across; the tile that shows all of the picture.
  private let tile: (rows: Int, columns: Int), tiles: (rows: Int, columns: Int), thumbnail: Int?
  private let region: ImageProcessor.Region, whole: ImageProcessor.Region

  init(_ image: PreparedImage, _ geometry: any VisualGeometry, _ processor: any TiledProcessor, first: Int) {
    (patches, self.first, tile) = (geometry.patches(of: image), first, geometry.grid(of: image))
    let isCut = image.tiles.count > 1
    tiles = isCut ? (image.rows, image.columns) : (1, 1)
    thumbnail = isCut ? geometry.layout(image).thumbnail : nil
    whole = ImageProcessor.Region(
      x: 0, y: 0, width: Double(image.original.width), height: Double(image.original.height))
    // A picture that was not cut although the processor cuts is its own thumbnail.
    region = isCut || processor is ImageProcessor ? processor.region(of: image.original) : whole
  }

  /// Every patch a token.
  var dense: Origin { Origin((0..<patches).map { $0 }) }

  /// The rows that stand for patches of the picture, numbered within it.
  func own(_ origins: [Origin]) -> Origin { selected(origins) { ($0 - first, first..<first + patches ~= $0) } }

  /// One map for the tiles, one for the thumbnail.
  func maps(_ origin: Origin) -> [TokenMap] {
    let size = tile.rows * tile.columns
    let tiled = selected([origin]) { patch in
      let number = patch / size
      let place = thumbnail.map { number > $0 ? number - 1 : number } ?? number
      let row = place / tiles.columns * tile.rows + patch % size / tile.columns
      let column = place % tiles.columns * tile.columns + patch % tile.columns
      return (row * tiles.columns * tile.columns + column, number != thumbnail)
    }
    let map = TokenMap(
      rows: tiles.rows * tile.rows, columns: tiles.columns * tile.columns, region: region, origin: tiled)
    guard let thumbnail else { return [map] }
    let small = selected([origin]) { ($0 - thumbnail * size, $0 / size == thumbnail) }
    return [map, TokenMap(rows: tile.rows, columns: tile.columns, region: whole, origin: small)]
  }

  /// The rows with patches that count, under other numbers.
  private func selected(_ origins: [Origin], _ place: (Int) -> (patch: Int, counts: Bool)) -> Origin {
    var (offsets, patches, weights): ([Int32], [Int32], [Float]) = ([0], [], [])
    for origin in origins {
      for row in 0..<origin.offsets.count - 1 {
        for entry in origin.range(row) {
          let (patch, counts) = place(Int(origin.patches[entry]))
          guard counts else { continue }
          patches.append(Int32(patch))
          weights.append(origin.weights[entry])
        }
        if patches.count > Int(offsets.last!) { offsets.append(Int32(patches.count)) }
      }
    }
    return Origin(offsets: offsets, patches: patches, weights: weights)
  }
}
