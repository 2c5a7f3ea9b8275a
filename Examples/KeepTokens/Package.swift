// swift-tools-version: 6.3
import PackageDescription

let package = Package(
  name: "KeepTokens",
  dependencies: [.package(name: "vtok", path: "../..")],
  targets: [.executableTarget(name: "KeepTokens", dependencies: [.product(name: "VTok", package: "vtok")])]
)
