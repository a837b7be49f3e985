"""Prepared clips: decoded once, kept in shards that are read at random."""
