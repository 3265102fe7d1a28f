"""Programs other than PyTorch that run an exported network: ONNX Runtime, OpenVINO. Nothing here imports torch, but
`generator`, which makes a network of them for `retouche.Model`.
"""
