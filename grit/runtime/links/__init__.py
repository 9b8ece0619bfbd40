"""Links: long-lived connections between roles that carry messages, in order, both ways."""
