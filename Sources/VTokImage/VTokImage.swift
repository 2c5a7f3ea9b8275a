import VTokTensor
