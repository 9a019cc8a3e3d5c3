"""From files to a library: sources are found, decoded, described and embedded."""
