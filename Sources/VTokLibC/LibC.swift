// The C library, under one name. Nothing re-exports it: a program that imports VTok gets no `exp` and no `read` from it.
#if canImport(Glibc)
  @_exported public import Glibc
#elseif canImport(Musl)
  @_exported public import Musl
#else
  @_exported public import Foundation
#endif
