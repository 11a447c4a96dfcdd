"""Work on one channel: a session, its controller, streams of requests and reads, moves, and the list of commands."""
