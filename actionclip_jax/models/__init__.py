"""CLIP's two towers, the temporal heads and ActionCLIP, as Flax NNX modules."""
