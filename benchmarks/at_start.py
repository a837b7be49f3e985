"""Imported before JAX and PyTorch, whose threads would have heaps of their own: memory as the commands keep it."""

from actionclip_jax import allocator

allocator.keep_freed_memory()
