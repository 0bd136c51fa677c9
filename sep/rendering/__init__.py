"""From scores and instruments to stems: read, arrange, perform, play."""

RATE = 44100  # Hz, of all that is rendered
