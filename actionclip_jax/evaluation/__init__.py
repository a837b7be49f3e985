"""Measuring a trained model by the protocols of the field."""
