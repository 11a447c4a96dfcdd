"""An independent checker of command streams, which shares no code with whoever makes them."""
