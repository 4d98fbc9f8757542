"""Training the field model: scenes of known truth, the network and its examination."""
