"""Networks for classes of fields: trained on crops in the worker's Python, run as ONNX."""
