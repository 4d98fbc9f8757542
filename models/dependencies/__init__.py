"""Python packages that Furrow can use and QGIS does not bring: how they come here, and go again.

Two groups, each installed only when the user asks for it. onnxruntime, for ONNX models inside
QGIS, is one wheel, unpacked into a folder of Furrow's own at the end of sys.path. PyTorch and what
belongs to it live in a virtual environment that only the worker process uses. QGIS' own packages
are never upgraded, replaced or shadowed. What is installed is pinned with its SHA-256 in
packages.json and worker-lock.txt.
"""
