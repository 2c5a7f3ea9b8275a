// swift-tools-version: 6.3
import PackageDescription

// A package of its own, so that nobody who does not serve builds a web server. VTokServe is all that is not HTTP.
let package = Package(
  name: "Server",
  products: [.executable(name: "vtok-serve", targets: ["vtok-serve"])],
  dependencies: [
    .package(name: "vtok", path: ".."),
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.6.0"),
    .package(url: "https://github.com/apple/swift-log", from: "1.6.0"),
    .package(url: "https://github.com/apple/swift-nio", from: "2.80.0"),
    .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.20.0"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.6.0"),
  ],
  targets: [
    .target(name: "VTokServe", dependencies: [.product(name: "VTok", package: "vtok")]),
    .executableTarget(
      name: "vtok-serve",
      dependencies: [
        "VTokServe",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Hummingbird", package: "hummingbird"),
        .product(name: "HummingbirdCore", package: "hummingbird"),
        .product(name: "Logging", package: "swift-log"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
      ]),
    .testTarget(name: "VTokServeTests", dependencies: ["VTokServe"]),
  ]
)
