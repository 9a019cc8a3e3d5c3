"""The models that see and read: ours, and those of open_clip and sentence-transformers."""
