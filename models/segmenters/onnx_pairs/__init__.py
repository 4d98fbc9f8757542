"""Any encoder and decoder in ONNX files, run by onnxruntime."""
