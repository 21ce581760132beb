"""Training: from a spec and its table to a bundle."""

import os

# Read when torch is loaded. Threads that wait for work by spinning make a run ten times slower as soon
# as they have to share the cores with anything else; asleep they cost small networks a few per cent.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Without it matrix products on a GPU are not the same every time.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
