"""Decoding of untrusted files, in a child process that owns nothing and may be killed.

`__main__` answers one request at a time over its pipes; `sniffing` says what a file is; `pictures`, `moving` and
`documents` decode. The parent's side is `indexer.media`. Nothing here imports the models or the catalog.
"""
