"""The pure vocabulary that every role shares. Nothing here knows a clock, chance, IO or a driver."""
