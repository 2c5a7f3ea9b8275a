import Synchronization
import VTokImage
import VTokTensor

extension DiffRateCalibration {
  /// What one batch says.
  struct Batch: Sendable {
    var masks: MaskGradients
    /// Mean cross-entropy.
    var loss = 0.0
    /// Pictures that could not be read.
    var failed: Set<Int> = []
  }

  private struct Prepared: Sendable {
    let pixels: Tensor
    let label: Int?
  }

  private struct Answer: Sendable {
    let loss: Double
    let prune: [[Float]?], merge: [[Float]?]
  }

  /// Pictures of a step: the data in a new order every epoch, read on across its end.
  func pictures(of step: Int) -> [Int] {
    let count = examples.count
    var orders: [Int: [Int]] = [:]
    return (step * settings.batch..<(step + 1) * settings.batch).map { position in
      let epoch = position / count
      if orders[epoch] == nil {
        var generator = SeededGenerator(seed: mixedSeed(settings.seed, "epoch \(epoch)"))
        orders[epoch] = generator.sample(count, below: count)
      }
      return orders[epoch]![position % count]
    }
  }

  func batch(_ state: State, _ passes: Passes, _ threads: Int) throws -> Batch {
    let chosen = pictures(of: state.step)
    let prepared = try prepare(chosen, step: state.step, threads: threads)
    var batch = Batch(masks: MaskGradients(blocks: network.blocks.count))
    batch.failed = Set(zip(chosen, prepared).filter { $0.1 == nil }.map(\.0))
    let good = prepared.compactMap { $0 }
    guard !good.isEmpty else {
      throw CalibrationError.data(
        found: "no readable picture in a batch of \(chosen.count)", expected: "pictures",
        fix: "Check that the files are images.")
    }
    var generator = SeededGenerator(seed: mixedSeed(settings.seed, "mixup \(state.step)"))
    let weight = settings.augmentation.mixWeight(&generator)
    let steps = state.plan.steps(tokens: network.tokens)
    let answers = Mutex([Answer?](repeating: nil, count: good.count))
    parallel(good.count, threads: threads) { index in
      // Every picture is mixed with the one at the same place from the end (timm's batch mode).
      let (own, other) = (good[index], good[good.count - 1 - index])
      let pixels = weight == 1 ? own.pixels : own.pixels.mixed(with: other.pixels, weight: weight)
      let targets = targets(pixels, own.label, other.label, weight)
      let answer = passes.with { pass in
        let (loss, gradient) = targets.crossEntropy(pass.forward(pixels, steps: steps))
        pass.backward(gradient)
        return Answer(loss: loss, prune: pass.pruneGradient, merge: pass.mergeGradient)
      }
      answers.withLock { $0[index] = answer }
    }
    for answer in answers.withLock({ $0 }) {
      batch.masks.add(prune: answer!.prune, merge: answer!.merge)
      batch.loss += answer!.loss / Double(good.count)
    }
    return batch
  }

  private func targets(_ pixels: Tensor, _ label: Int?, _ other: Int?, _ weight: Float) -> SoftTargets {
    if settings.distils { return SoftTargets(logits: model(pixels).logits!) }
    func smoothed(_ label: Int?) -> SoftTargets {
      SoftTargets(label: label!, classes: network.classes, smoothing: settings.smoothing)
    }
    return weight == 1 ? smoothed(label) : smoothed(label).mixed(with: smoothed(other), weight: weight)
  }

  /// Reads and varies the pictures; nil for one that cannot be read.
  private func prepare(_ chosen: [Int], step: Int, threads: Int) throws -> [Prepared?] {
    let shape = network.tower.shape
    let size = Size(width: shape.columns * shape.patch, height: shape.rows * shape.patch)
    struct Slots: Sendable {
      var prepared: [Prepared?]
      var error: (any Error)?
    }
    let slots = Mutex(Slots(prepared: [Prepared?](repeating: nil, count: chosen.count)))
    parallel(chosen.count, threads: threads) { place in
      do {
        let image = try examples.image(chosen[place])
        var generator = SeededGenerator(seed: mixedSeed(settings.seed, "picture \(step) \(place)"))
        let pixels = settings.augmentation(image, to: size, processor: processor, &generator)
        slots.withLock { $0.prepared[place] = Prepared(pixels: pixels, label: examples.label(chosen[place])) }
      } catch let error as ImageError where !error.kind.isOfMachine {
        return
      } catch {
        slots.withLock { $0.error = $0.error ?? error }
      }
    }
    let done = slots.withLock { $0 }
    if let error = done.error { throw error }
    return done.prepared
  }
}

extension Tensor {
  /// `weight` of this and the rest of `other`.
  func mixed(with other: Tensor, weight: Float) -> Tensor {
    Tensor(zip(values, other.values).map { weight * $0 + (1 - weight) * $1 }, shape: shape)
  }
}
