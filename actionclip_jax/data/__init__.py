"""From video files to batches of uint8 frames; nothing here computes with jax."""
