"""Renders scores on sampled or computed instruments, into stems."""

RATE = 44100  # Hz: sample rate of everything that is rendered
ROOM_SECONDS = 2.0  # length to which impulse responses of rooms are cut
