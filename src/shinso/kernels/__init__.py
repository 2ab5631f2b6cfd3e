"""Hot loops that tensor operations cannot say, each beside its plain-PyTorch twin."""
