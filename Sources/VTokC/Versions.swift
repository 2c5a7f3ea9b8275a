public import CVTokAPI
import VTok

private let version = CText(vtokVersion)

@c @implementation
public func vtok_api_version() -> Int32 { VTOK_API_VERSION }

@c @implementation
public func vtok_version() -> UnsafePointer<CChar>? { UnsafePointer(version.pointer) }
