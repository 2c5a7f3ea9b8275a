import Foundation

/// The repository's folder.
package let repository =
  URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
  .deletingLastPathComponent().path

/// The images of the repository.
package let pictures = repository + "/Images"

/// The small models of the repository.
package let smallModels = repository + "/Benchmarks/models/"

/// The goldens' own checkpoints.
package let goldenCases = repository + "/Tests/Golden/Cases/"
