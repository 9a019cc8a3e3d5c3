"""The engine of Loupe: what can be found, by whom, in what order. Knows no web and no files to ingest."""
