"""What a process tells about itself: log lines, metrics, traces. All of it may be off; none of it decides anything."""
