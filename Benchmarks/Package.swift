// swift-tools-version: 6.3
import PackageDescription

// A package of its own, so that users of the library never build it.
let package = Package(
  name: "benchmarks",
  dependencies: [.package(name: "vtok", path: "..")],
  targets: [
    .executableTarget(name: "speed", dependencies: [.product(name: "VTok", package: "vtok")]),
    .executableTarget(name: "tokenizer", dependencies: [.product(name: "VTok", package: "vtok")]),
  ]
)
