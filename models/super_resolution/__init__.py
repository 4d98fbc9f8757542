"""Networks that enlarge pictures (super-resolution), in ONNX files that onnxruntime runs.

`models/worker/super_resolution_export.py` makes such files of published checkpoints.
"""
