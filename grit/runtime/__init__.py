"""The shell of every role, written once: loop, tasks, links, supervisor. It holds no decision of the protocol."""
