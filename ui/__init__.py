"""The search page: static ES modules and style sheets that the API serves as they are."""
