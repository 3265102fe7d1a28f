"""Networks as ONNX files: one file that runs without this package and without PyTorch."""
