"""The HTTP API and the `loupe` command: what people and programs talk to."""
