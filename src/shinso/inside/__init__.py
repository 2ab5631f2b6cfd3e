"""Looking inside a network: what its layers are and see, which pixels an answer rests on. Any nn.Module will do."""
