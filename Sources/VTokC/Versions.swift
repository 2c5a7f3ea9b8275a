// Functions have the names of vtok.h, which the compiler holds them against.
// swift-format-ignore-file: AlwaysUseLowerCamelCase

public import CVTokAPI
import VTok

private let ownVersion = CText(vtokVersion)

@c @implementation
public func vtok_api_version() -> Int32 { VTOK_API_VERSION }

@c @implementation
public func vtok_version() -> UnsafePointer<CChar>? { UnsafePointer(ownVersion.pointer) }
