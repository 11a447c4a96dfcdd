"""The compiled engine of one channel: every command at the CK at which the rules and the controller allow it."""
