// swift-tools-version: 6.3
import PackageDescription

// The commit goes into the program by a macro of one C file, so that no flag is unsafe and nothing is written into the tree. Who
// builds without `make`, or depends on this package, has none.
let commit = Context.environment["VTOK_COMMIT"] ?? ""

// Imports point downwards: a target may only name targets that stand above it in this list.
let package = Package(
  name: "vtok",
  products: [
    .library(name: "VTok", targets: ["VTok"]),
    .executable(name: "vtok", targets: ["vtok-cli"]),
    // libvtok.so; `make library` gives it its name.
    .library(name: "vtok-c", type: .dynamic, targets: ["VTokC"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.6.0"),
    .package(url: "https://github.com/jpsim/Yams", from: "6.0.0"),
  ],
  targets: [
    // System libraries and C.
    .systemLibrary(name: "CPNG", pkgConfig: "libpng", providers: [.apt(["libpng-dev"])]),
    .systemLibrary(name: "CJPEG", pkgConfig: "libjpeg", providers: [.apt(["libjpeg-dev"])]),
    .systemLibrary(name: "CWebP", pkgConfig: "libwebp", providers: [.apt(["libwebp-dev"])]),
    .systemLibrary(name: "COpenBLAS", pkgConfig: "openblas", providers: [.apt(["libopenblas-dev"])]),
    .target(name: "CVTokImage", dependencies: ["CPNG", "CJPEG", "CWebP"]),
    .target(name: "CVTokKernels"),
    .target(name: "CVTokProcess"),
    .target(name: "CVTokTiny", exclude: ["config.json", "model.safetensors"]),
    .target(name: "CVTokKLT", exclude: ["klt.safetensors"]),
    .target(name: "CVTokAPI", exclude: ["exported.map"]),
    .target(name: "CVTokBuild", cSettings: commit.isEmpty ? [] : [.define("VTOK_COMMIT", to: "\"\(commit)\"")]),

    // Library, bottom to top.
    .target(name: "VTokLibC"),
    .target(name: "VTokTensor", dependencies: ["CVTokKernels", "COpenBLAS", "VTokLibC"]),
    .target(name: "VTokFiles", dependencies: ["VTokLibC"]),
    .target(name: "VTokImage", dependencies: ["CVTokImage", "VTokLibC", "VTokFiles", "VTokTensor"]),
    .target(name: "VTokWeights", dependencies: ["CVTokKernels", "VTokLibC", "VTokFiles", "VTokTensor"]),
    .target(name: "VTokTemplate", dependencies: ["VTokLibC", "VTokFiles"]),
    .target(name: "VTokCore", dependencies: ["CVTokKernels", "VTokFiles", "VTokTensor"]),
    .target(
      name: "VTokMethods", dependencies: ["CVTokKernels", "VTokLibC", "VTokCore", "VTokFiles", "VTokTensor"]),
    .target(
      name: "VTokModels",
      dependencies: [
        "CVTokKernels", "VTokLibC", "VTokCore", "VTokFiles", "VTokImage", "VTokTemplate", "VTokTensor", "VTokWeights",
      ]),
    .target(
      name: "VTokEval",
      dependencies: [
        "CVTokBuild", "VTokLibC", "VTokCore", "VTokFiles", "VTokImage", "VTokMethods", "VTokModels", "VTokTensor",
        "VTokWeights",
      ]),
    .target(
      name: "VTokImageTokenizers",
      dependencies: [
        "CVTokKernels", "VTokLibC", "VTokFiles", "VTokImage", "VTokModels", "VTokTensor", "VTokWeights",
      ]),
    .target(
      name: "VTokCalibration",
      dependencies: [
        "CVTokKernels", "VTokLibC", "VTokCore", "VTokFiles", "VTokImage", "VTokModels", "VTokTensor", "VTokWeights",
        "VTokEval",
      ]),
    .target(
      name: "VTokPipeline",
      dependencies: [
        "CVTokTiny", "CVTokKLT", "VTokFiles", "VTokTensor", "VTokImage", "VTokWeights", "VTokCore", "VTokMethods",
        "VTokModels", "VTokImageTokenizers", "VTokEval",
      ]),
    .target(
      name: "VTokData",
      dependencies: ["VTokFiles", "VTokImage", "VTokWeights", "VTokModels", "VTokEval", "VTokPipeline"]),
    .target(
      name: "VTokJobs",
      dependencies: [
        "VTokLibC", "VTokFiles", "VTokTensor", "VTokImage", "VTokWeights", "VTokCore", "VTokMethods", "VTokModels",
        "VTokImageTokenizers", "VTokCalibration", "VTokEval", "VTokPipeline", "VTokData",
      ]),
    .target(
      name: "VTokBench",
      dependencies: [
        "VTokFiles", "VTokTensor", "VTokImage", "VTokWeights", "VTokCore", "VTokMethods", "VTokModels",
        "VTokImageTokenizers", "VTokEval", "VTokPipeline", "VTokData",
      ]),
    .target(
      name: "VTok",
      dependencies: [
        "VTokFiles", "VTokTensor", "VTokImage", "VTokWeights", "VTokCore", "VTokMethods", "VTokModels",
        "VTokImageTokenizers", "VTokCalibration", "VTokEval", "VTokPipeline", "VTokData", "VTokJobs", "VTokBench",
      ]),
    .target(name: "VTokC", dependencies: ["CVTokAPI", "VTok", "VTokTensor"]),
    .executableTarget(
      name: "vtok-cli",
      dependencies: [
        "VTok", "VTokLibC", "CVTokKernels", "CVTokProcess",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Yams", package: "Yams"),
      ]),

    // Tests. GoldenRunner reads the manifests below Tests/Golden: those of a method for its suite in MethodTests, all others
    // for GoldenTests. TestSupport has what several targets need; the other targets test one layer each.
    .target(
      name: "GoldenRunner", dependencies: ["VTok", "VTokTemplate"], path: "Tests/Golden",
      exclude: ["Cases", "clip-vocabulary.py", "video.py"]),
    .target(name: "TestSupport", dependencies: ["VTok"], path: "Tests/Support"),
    .testTarget(name: "GoldenTests", dependencies: ["GoldenRunner", "VTok"]),
    .testTarget(name: "MethodTests", dependencies: ["GoldenRunner", "TestSupport", "VTok"], path: "Tests/Methods"),
    .testTarget(name: "FilesTests", dependencies: ["VTokFiles", "VTokLibC"]),
    .testTarget(name: "TensorTests", dependencies: ["VTokTensor", "VTokLibC", "CVTokKernels"]),
    .testTarget(name: "ImageTests", dependencies: ["VTokImage"], exclude: ["Kinds", "Malformed"]),
    .testTarget(
      name: "WeightsTests", dependencies: ["VTokModels", "VTokWeights"],
      exclude: [
        "GGUF", "PyTorch", "split-expressions.json", "split-expressions.py", "split-patterns.json", "split-patterns.py",
      ]),
    .testTarget(
      name: "TemplateTests", dependencies: ["VTokModels", "VTokTemplate", "VTokWeights"],
      exclude: ["jinja-table.py", "jinja-table.json"]),
    .testTarget(name: "CoreTests", dependencies: ["VTokCore"]),
    .testTarget(name: "ModelTests", dependencies: ["TestSupport", "VTok"], exclude: ["PaperTables"]),
    .testTarget(name: "CTests", dependencies: ["CVTokAPI", "VTok", "VTokC"]),
    .testTarget(name: "CommandTests", dependencies: ["VTok", "vtok-cli"], exclude: ["Faults"]),
  ]
)
