"""One explanation of an event: a document that console, report, screen and clipboard each show in their way."""
