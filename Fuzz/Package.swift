// swift-tools-version: 6.3
import PackageDescription

// Built with `--sanitize=address --sanitize=fuzzer`, which bring `main`; see README.md.
let package = Package(
  name: "Fuzz",
  dependencies: [.package(name: "vtok", path: "..")],
  targets: [.executableTarget(name: "fuzz", dependencies: [.product(name: "VTok", package: "vtok")])]
)
