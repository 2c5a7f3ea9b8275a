import VTokCore
import VTokImage
import VTokPipeline
import VTokTensor

extension ImageTask {
  public func warmUp(_ item: Int) throws {
    var notes = ItemNotes<Self>([], entries)
    _ = try time(item, into: &notes)
  }

  /// Every row with its first seed, all of them on an image before the next one, so that rows are compared within the same
  /// moments of the machine.
  public func time(_ item: Int, into notes: inout ItemNotes<Self>) throws -> [[BenchStage: Double]] {
    let start = threadSeconds()
    let image = try data.image(item, options: decode)
    let read = 1000 * (threadSeconds() - start)
    let middle = threadSeconds()
    let usual = entries[0].subject.prepare(image)
    let prepare = 1000 * (threadSeconds() - middle)
    var dense: Run?
    return try entries.enumerated().map { row, entry in
      let pipeline = entry.subject(on: item)
      let prepared = pipeline.composition.shrink == nil ? usual : pipeline.prepare(image)
      let start = threadSeconds()
      let reduced: PrunedImage
      do {
        reduced = try pipeline.run(prepared, seed: seed(entry.seeds[0], of: item))
      } catch is CompressionError where keepsGoing {
        return [:]
      }
      let trace = reduced.trace
      let processor = 1000 * (threadSeconds() - start)
      let run = Run(reduced, label: nil, dense: dense)
      dense = dense ?? run
      notes.add(run, row: row, seed: 0)
      // One clock runs over both; it is dealt out as the wall clock saw them.
      let share = trace.selectionSeconds / max(trace.selectionSeconds + trace.towerSeconds, 1e-9)
      return [
        .read: read, .prepare: prepare, .tower: processor * (1 - share), .selection: processor * share,
        .wall: 1000 * (trace.towerSeconds + trace.selectionSeconds),
      ]
    }
  }
}
