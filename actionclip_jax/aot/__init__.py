"""Compiling for hardware that is not here: memory, time and cost before anything is rented."""
