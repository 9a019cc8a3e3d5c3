"""Models of our own: their code, their trained heads and their cards."""
