"""Engines: implementations of `search.engine.Engine`."""
