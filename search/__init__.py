"""The engine of Loupe: what can be found, by whom, in what order. Knows no web and no files to ingest."""

import os

# Threads of numerical libraries that spin while they wait for more work take the processors from whatever runs next, in
# this request and in others. So they sleep. The libraries read this when they are loaded, which is after this.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")
