"""Hot loops that tensor operations cannot say, each beside its equal in plain PyTorch.

A kernel is a file `NAME.py` with the public function, which picks, and `..._plain`, its PyTorch twin; the native form
stands in `NAME_native.py`, is imported and compiled on first use only, and kept in Numba's cache. The twin takes over
without a word where Numba is missing, where type, device or shape is not supported, and with SHINSO_KERNELS=plain.
Both give the same values, gradients, NaNs and errors up to rounding.
"""
