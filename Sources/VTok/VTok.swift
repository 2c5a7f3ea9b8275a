// The umbrella: `import VTok` brings everything a program needs.
@_exported import VTokBench
@_exported import VTokCalibration
@_exported import VTokCore
@_exported import VTokData
@_exported import VTokEval
@_exported import VTokFiles
@_exported import VTokImage
@_exported import VTokImageTokenizers
@_exported import VTokJobs
@_exported import VTokMethods
@_exported import VTokModels
@_exported import VTokPipeline
@_exported import VTokTensor
@_exported import VTokWeights
