"""Bundles in stores outside this machine: fetch, verify, cache, follow, push."""
