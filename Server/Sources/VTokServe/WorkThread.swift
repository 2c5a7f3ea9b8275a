import Dispatch

/// A thread of its own for work that keeps a processor busy for long, so that those that answer connections stay free.
final class WorkThread: SerialExecutor {
  private let queue = DispatchQueue(label: "vtok.work", qos: .userInitiated)

  func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    queue.async { job.runSynchronously(on: self.asUnownedSerialExecutor()) }
  }
}
