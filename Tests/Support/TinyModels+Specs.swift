import VTok

extension TinyModels {
  /// Every method, and options that change what it does.
  package static let specs = Methods.names.map(spec(of:)) + variants
  /// A method with layers and windows that fit the tiny models.
  package static func spec(of name: String) -> String { "\(name):\(options[name] ?? "keep=0.5")" }
  private static let options = [
    "hired": "keep=0.4", "globalcom2": "keep=0.4", "visionzip": "keep=0.4", "cdpruner": "keep=0.4",
    "token-corr": "similarity=0.2", "hiprune": "keep=0.5,object=0",
    "dart": "layer=1,visual-pivots=2,text-pivots=2,keep=0.5",
    "fastv": "layer=1,keep=0.5", "pact": "layer=1,cutoff=0.6",
    "pyramiddrop": "layers=1/2", "transprune": "layers=1/2",
    "mustdrop": "layers=1/2,window=2,similarity=0,global=0.04,individual=0.5", "sparsevlm": "layers=1/2,counts=9/5",
    "keyformer": "keep=0.5,interval=2", "generic-explain": "weights=net,keep=0.4",
    "pixelprune": "metric=mae,tau=1", "v2drop": "layers=1/2,ratios=0.5/0.5", "priortr": "layers=2,keep=0.5",
    "snapkv": "window=4,keep=0.5", "pyramidkv": "window=4,keep=0.5", "ems": "window=4,keep=0.5",
  ]
  private static let variants = [
    "globalcom2:keep=0.4,mode=clean", "cdpruner:kernel=openvino,keep=0.4",
    "dart:stage=embeddings,visual-pivots=2,keep=0.5", "fastv:layer=1,keep=0.5,mode=in-place",
    "mctf:r=3,floor=4", "mctf:r=3,floor=4,ahead=precise,blocks=0/1", "mctf:r=0.2,ahead=none", "pitome:ratio=0.8",
    "fastv:layer=auto,keep=0.5", "pyramiddrop:layers=2", "priortr:layers=auto,keep=0.5", "pact:layer=auto,cutoff=0.6",
    "mustdrop:layers=1/2,vision=off,global=0.04,individual=0.5", "sparsevlm:layers=1/2,counts=9/5,version=2.0",
    "elastic-cache:policy=local,keep=0.5", "elastic-cache:policy=h2o-elasticrepo,keep=0.5",
    "h2o:gqa=mean,keep=0.5", "keyformer:gqa=mean,keep=0.5,interval=2",
    "snapkv:window=4,granularity=query-head,keep=0.5",
    "streaming-llm:mode=prefill,keep=0.5", "streaming-llm:mode=prefill,rerotate=on,keep=0.5", "deep-random:ratios=0",
    "vispruner:version=fastervlm,keep=0.5", "scope:combine=add,keep=0.4", "prumerge:keep=0.4",
    "prumerge:version=plus,keep=0.6", "holov:keep=0.4,overflow=drop", "divprune:parts=tiles,keep=0.5",
    "visionzip:keep=0.4+fastv:layer=1,keep=0.5+elastic-cache:keep=0.6", "hired:keep=0.4+pyramiddrop:layers=1/2",
  ]
}
