// swift-tools-version: 6.3
import PackageDescription

let package = Package(
  name: "OwnMethod",
  dependencies: [.package(name: "vtok", path: "../..")],
  targets: [
    .executableTarget(name: "OwnMethod", dependencies: [.product(name: "VTok", package: "vtok")]),
    .testTarget(name: "OwnMethodTests", dependencies: ["OwnMethod", .product(name: "VTok", package: "vtok")]),
  ]
)
