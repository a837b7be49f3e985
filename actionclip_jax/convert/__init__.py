"""PyTorch checkpoints <-> this project's models, with proof of equality."""
