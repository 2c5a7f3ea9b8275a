@_exported import VTokTensor
