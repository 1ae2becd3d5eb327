"""Neural networks: what a model is, where it lies, how it is run. Nothing here knows what is segmented.

torch, MONAI and safetensors are imported inside functions: all modules can be imported without them.
"""
